"""Page "Read a scan": the champion's prediction, its confidence and its heatmap."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import altair as alt
import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from tumorml.datasets.labeling import candidate_labels
from tumorml.errors import TumorMLError
from tumorml.explain.overlay import MAX_OPACITY, blend
from tumorml.labels import Task
from tumorml.objects.keys import scan_key
from tumorml.results.session import read_session
from tumorml.serving.api.uploads import decode_image
from tumorml.serving.ui.api_client import ScanResult, request_predictions
from tumorml.serving.ui.queries import (
    latest_evaluation,
    query_rows,
    read_object,
    tasks_with_champion,
)
from tumorml.serving.ui.uploads import predict_uploads
from tumorml.serving.ui.widgets import (
    format_label,
    format_percent,
    show_heatmap_claim,
    show_scan,
)
from tumorml.settings import Settings

SAMPLES = 6
THUMBNAIL = 108
"""Width in pixels: six thumbnails fit in a row on a desktop, three on a phone."""
YES_NO = {True: "yes", False: "no", None: "unknown"}
UPLOAD, TEST_SCAN = "Upload", "Test scan"
SAMPLE = """
    select scan_id as scan, true_label from prediction
     where run_id = :run and model_version_id = :model
     order by random() limit :samples
"""


def page(settings: Settings) -> None:
    """Choose scans and show their predictions."""
    tasks = tasks_with_champion(settings)[::-1]  # the four-class task first
    if not tasks:
        st.info(
            "There is no champion yet. Drop labeled scans (*Drop a batch*), then retrain with "
            "`tumorml retrain` or in the Airflow UI.",
            icon=":material/hourglass_empty:",
        )
        return
    task = tasks[0]
    with st.container(horizontal=True):
        source = st.segmented_control(
            "Scan", [UPLOAD, TEST_SCAN], default=UPLOAD, required=True, key="source"
        )
        if len(tasks) > 1:
            task = st.segmented_control(
                "Task", tasks, default=task, required=True, format_func=format_label, key="task"
            )
    results = (
        predict_uploads(settings, task) if source == UPLOAD else predict_test_scan(settings, task)
    )
    if not results:
        return
    chosen = results[0]
    if len(results) > 1:
        names = [f"{n}. {one.answer['file']}" for n, one in enumerate(results, 1)]
        st.dataframe(summarize(results), hide_index=True)
        chosen = results[names.index(st.selectbox("Show", names))]
    show_result(settings, chosen)


def predict_test_scan(settings: Settings, task: str) -> list[ScanResult]:
    """Show random test scans of the latest evaluation; return the result of the chosen one."""
    key = f"samples-{task}"
    if st.button("Show other scans", icon=":material/shuffle:") or key not in st.session_state:
        evaluation = latest_evaluation(settings, task)
        st.session_state[key] = query_rows(settings, SAMPLE, samples=SAMPLES, **evaluation)
        st.session_state.pop("test_scan", None)
    if not st.session_state[key]:
        st.info("The champion was not evaluated on test scans yet.")
    with st.container(horizontal=True):
        for row in st.session_state[key]:
            with st.container(width=THUMBNAIL):
                show_scan(settings, row["scan"], format_label(row["true_label"]))
                if st.button("Read", key=f"read-{row['scan']}", width="stretch"):
                    st.session_state["test_scan"] = predict_stored(
                        settings, row["scan"], row["true_label"], task
                    )
    result: ScanResult | None = st.session_state.get("test_scan")
    return [result] if result and result.task == task else []


def predict_stored(settings: Settings, scan: str, true_label: str, task: str) -> ScanResult:
    """Request the prediction for a stored scan.

    Raises:
        TumorMLError: The pixels of the scan are missing, or the API does not respond.
    """
    data = read_object(settings, scan_key(scan))
    if data is None:
        raise TumorMLError(f"The pixels of the scan {scan} are not in the object store.")
    response = request_predictions(settings, [(f"{scan[:12]}.png", data)], task)
    pixels = decode_image(settings, data).pixels
    (answer,) = response["answers"]
    return ScanResult(response["task"], response["model_version"], answer, pixels, true_label)


def summarize(results: Sequence[ScanResult]) -> list[dict[str, object]]:
    """Return a table row for each result."""
    return [
        {
            "file": one.answer["file"],
            "label": format_label(one.answer["label"]),
            "probability": format_percent(one.answer["probability"]),
            "unlike training": YES_NO[one.answer["unlike_training"]],
        }
        for one in results
    ]


def show_result(settings: Settings, result: ScanResult) -> None:
    """Show warnings, heatmap, prediction and similar scans of one result."""
    answer = result.answer
    if answer["unlike_training"]:
        st.warning(
            "**This scan is unlike the training data**: it is farther away than 99 % of the "
            "validation scans. Do not rely on the prediction.",
            icon=":material/warning:",
        )
    if answer["split"] in ("train", "validation"):
        st.warning(
            "**This exact scan was used to train the model.** A correct prediction of it says "
            "nothing about new scans.",
            icon=":material/school:",
        )
    for warning in answer["warnings"]:
        st.warning(f"Warning about the file: {format_label(warning)}.")
    left, right = st.columns([3, 2], gap="large")
    with left:
        show_heatmap(result)
        show_heatmap_claim(settings, result.model_version)
    with right:
        show_prediction(result)
    if answer["similar"]:
        st.subheader("Most similar training scans", anchor=False)
        with st.container(horizontal=True):
            labels = current_labels(settings, result)
            for similar in answer["similar"]:
                with st.container(width=THUMBNAIL):
                    caption = f"{labels[similar['scan']]}, {similar['similarity']:.2f}"
                    show_scan(settings, similar["scan"], caption)


def current_labels(settings: Settings, result: ScanResult) -> dict[str, str]:
    """Return the current labels of the similar scans, as text by scan id.

    The API returns the labels at training. People may have settled others since; then both are in
    the text.
    """
    trained = {similar["scan"]: similar["label"] for similar in result.answer["similar"]}
    with read_session(settings) as session:
        current = candidate_labels(session, Task(result.task), trained)
    texts = {}
    for scan, trained_label in trained.items():
        labels = current.get(scan) or {trained_label}
        texts[scan] = " or ".join(map(format_label, sorted(labels)))
        if labels != {trained_label}:
            texts[scan] += f" (trained as {format_label(trained_label)})"
    return texts


@st.fragment
def show_heatmap(result: ScanResult) -> None:
    """Show the scan beside the scan under its heatmap, with a slider for the opacity."""
    left, right = st.columns(2)
    left.image(inline_png(result.pixels), "scan", width="stretch", alt="MRI scan")
    opacity = st.slider(
        "Opacity of the heatmap", 0, 100, round(100 * MAX_OPACITY), format="%d %%", key="opacity"
    )
    meaning = result.answer["heatmap_meaning"]
    right.image(
        inline_png(blend(result.pixels, result.heatmap, opacity / 100)),
        "scan under the heatmap",
        width="stretch",
        alt=f"The scan under its heatmap; {meaning}",
    )
    st.caption(f"{meaning}. This is not the outline of a lesion and not a finding.")


def inline_png(pixels: NDArray[np.uint8]) -> str:
    """Return an image as a ``data:`` URL.

    Streamlit removes the file of a replaced image while a browser may still request it.

    Args:
        pixels: uint8 [h, w] or [h, w, 3].
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def show_prediction(result: ScanResult) -> None:
    """Show the predicted label, the probabilities, the possible labels and the distance."""
    answer, binary = result.answer, result.answer["binary"]
    label = format_label(answer["label"])
    probability = f"{format_percent(answer['probability'])}, calibrated"
    st.metric(format_label(result.task), label, probability, delta_color="off", delta_arrow="off")
    if result.true_label is not None:
        is_correct = result.true_label == answer["label"]
        st.badge(
            f"True label: {format_label(result.true_label)} "
            f"({'correct' if is_correct else 'wrong'})",
            icon=":material/check:" if is_correct else ":material/close:",
            color="green" if is_correct else "red",
        )
    st.altair_chart(
        probability_chart(answer["probabilities"]),
        width="stretch",
        alt="; ".join(
            f"{format_label(name)} {format_percent(value)}"
            for name, value in answer["probabilities"].items()
        ),
    )
    lines = []
    if result.task != Task.BINARY:
        lines.append(f"Any tumor: **{format_percent(binary['tumor_probability'])}**")
    if answer["possible_labels"] is not None:
        possible = ", ".join(map(format_label, answer["possible_labels"]))
        lines.append(f"Possible labels, {answer['confidence']:.0%} confidence: **{possible}**")
    if answer["distance"] is not None:
        lines.append(f"Distance to the training scans: {answer['distance']:.3f}")
    lines += [f"Model version: `{result.model_version}`", f"Scan: `{answer['scan'][:16]}`"]
    st.markdown("  \n".join(lines))


def probability_chart(probabilities: dict[str, float]) -> alt.LayerChart | alt.FacetChart:
    """Return a bar chart of probabilities, the largest first."""
    values = [
        {"label": format_label(label), "probability": value, "text": format_percent(value)}
        for label, value in probabilities.items()
    ]
    order = sorted(probabilities, key=lambda label: -probabilities[label])
    chart = alt.Chart(alt.InlineData(values=values), height=34 * len(values) + 50).encode(
        x=alt.X("probability:Q", title="calibrated probability")
        .scale(domain=[0, 1.3])
        .axis(values=[0, 0.25, 0.5, 0.75, 1], format="%"),
        y=alt.Y("label:N", sort=list(map(format_label, order)), title=None),
    )
    bars = chart.mark_bar(color="#0072B2")
    return alt.layer(bars, chart.mark_text(align="left", dx=4).encode(text="text:N"))
