"""Read a scan: the champion's answer, how sure it is, and what spoke for it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import altair as alt
import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from tumorml.datasets.labelling import scan_readings
from tumorml.errors import TumorMLError
from tumorml.explain.overlay import MOST_OPAQUE, blend
from tumorml.labels import Task
from tumorml.objects.keys import scan_key
from tumorml.results.session import read_session
from tumorml.serving.api.uploads import read_image
from tumorml.serving.ui.api_client import Read, ask
from tumorml.serving.ui.queries import latest_evaluation, object_of, rows_of
from tumorml.serving.ui.uploads import uploaded
from tumorml.serving.ui.widgets import heatmap_worth, named, percent, scan_picture
from tumorml.settings import Settings

SAMPLES = 6
THUMBNAIL = 108
"""In pixels: six in a row on a desk, three on a phone."""
KNOWN = {True: "yes", False: "no", None: "not known"}
UPLOAD, STORED = "Upload", "A test scan"
SAMPLE = """
    select scan_id as scan, true_label from prediction
     where run_id = :run and model_version_id = :model
     order by random() limit :samples
"""


def page(settings: Settings) -> None:
    """Choose scans, then see what is said of them."""
    serving = rows_of(
        settings, "select task, model_version_id from champion where until is null order by task"
    )
    if not serving:
        st.info(
            "No champion serves yet: drop labelled scans (*Drop a batch*), then retrain, by "
            "`tumorml retrain` or in the Airflow UI.",
            icon=":material/hourglass_empty:",
        )
        return
    tasks = [row["task"] for row in reversed(serving)]
    task = tasks[0]
    with st.container(horizontal=True):
        source = st.segmented_control(
            "Scan", [UPLOAD, STORED], default=UPLOAD, required=True, key="source"
        )
        if len(tasks) > 1:
            task = st.segmented_control(
                "Task", tasks, default=task, required=True, format_func=named, key="task"
            )
    reads = uploaded(settings, task) if source == UPLOAD else stored(settings, task)
    if not reads:
        return
    chosen = reads[0]
    if len(reads) > 1:
        names = [f"{n}. {one.answer['file']}" for n, one in enumerate(reads, 1)]
        st.dataframe(summary(reads), hide_index=True)
        chosen = reads[names.index(st.selectbox("Show", names))]
    show(settings, chosen)


def stored(settings: Settings, task: str) -> list[Read]:
    """What is said of the test scan that is chosen among some of the champion's evaluation."""
    key = f"samples-{task}"
    if st.button("Others", icon=":material/shuffle:") or key not in st.session_state:
        evaluation = latest_evaluation(settings, task)
        st.session_state[key] = rows_of(settings, SAMPLE, samples=SAMPLES, **evaluation)
        st.session_state.pop("read", None)
    if not st.session_state[key]:
        st.info("The champion's evaluation has no test scans here.")
    with st.container(horizontal=True):
        for row in st.session_state[key]:
            with st.container(width=THUMBNAIL):
                scan_picture(settings, row["scan"], named(row["true_label"]))
                if st.button("Read", key=f"read-{row['scan']}", width="stretch"):
                    st.session_state["read"] = ask_stored(
                        settings, row["scan"], row["true_label"], task
                    )
    found: Read | None = st.session_state.get("read")
    return [found] if found and found.task == task else []


def ask_stored(settings: Settings, scan: str, true_label: str, task: str) -> Read:
    """What is said of a scan of the store.

    Raises:
        TumorMLError: Its pixels are gone, or the API does not answer.
    """
    data = object_of(settings, scan_key(scan))
    if data is None:
        raise TumorMLError(f"The pixels of the scan {scan} are not in the object store.")
    said = ask(settings, [(f"{scan[:12]}.png", data)], task)
    pixels = read_image(settings, data).pixels
    return Read(said["task"], said["model_version"], said["answers"][0], pixels, true_label)


def summary(reads: Sequence[Read]) -> list[dict[str, object]]:
    """A line for each."""
    return [
        {
            "file": one.answer["file"],
            "label": named(one.answer["label"]),
            "probability": percent(one.answer["probability"]),
            "unlike training": KNOWN[one.answer["unlike_training"]],
        }
        for one in reads
    ]


def show(settings: Settings, read: Read) -> None:
    """All that is said of one scan."""
    answer = read.answer
    if answer["unlike_training"]:
        st.warning(
            "**This scan is unlike the training data**, farther from it than 99 of 100 validation "
            "scans. What is said below may mean nothing.",
            icon=":material/warning:",
        )
    if answer["split"] in ("train", "validation"):
        st.warning(
            "**The model learnt from this very picture**: a good answer proves nothing.",
            icon=":material/school:",
        )
    for warning in answer["warnings"]:
        st.warning(f"About the file: {named(warning)}.")
    left, right = st.columns([3, 2], gap="large")
    with left:
        picture(read)
        heatmap_worth(settings, read.model_version)
    with right:
        verdict(read)
    if answer["similar"]:
        st.subheader("Most similar training scans", anchor=False)
        with st.container(horizontal=True):
            said = labels_today(settings, read)
            for near in answer["similar"]:
                with st.container(width=THUMBNAIL):
                    caption = f"{said[near['scan']]}, {near['similarity']:.2f}"
                    scan_picture(settings, near["scan"], caption)


def labels_today(settings: Settings, read: Read) -> dict[str, str]:
    """What the similar scans are known to show today, by scan.

    The answer has the labels that the network learnt, which people may have settled otherwise.
    """
    learnt = {near["scan"]: near["label"] for near in read.answer["similar"]}
    with read_session(settings) as session:
        today = scan_readings(session, Task(read.task), learnt)
    said = {}
    for scan, label in learnt.items():
        labels = today.get(scan) or {label}
        said[scan] = " or ".join(map(named, sorted(labels)))
        if labels != {label}:
            said[scan] += f" (learnt as {named(label)})"
    return said


@st.fragment
def picture(read: Read) -> None:
    """The scan beside the scan under its map, which a slider lays on."""
    plain, under = st.columns(2)
    plain.image(inline_png(read.pixels), "scan", width="stretch", alt="MRI scan")
    share = st.slider(
        "Opacity of the heatmap", 0, 100, round(100 * MOST_OPAQUE), format="%d %%", key="opacity"
    )
    meaning = read.answer["heatmap_meaning"]
    under.image(
        inline_png(blend(read.pixels, read.heat, share / 100)),
        "scan under the heatmap",
        width="stretch",
        alt=f"The scan under its heatmap; {meaning}",
    )
    st.caption(f"{meaning}. It is no outline of a lesion, and not a finding.")


def inline_png(pixels: NDArray[np.uint8]) -> str:
    """A picture as a URL that holds it, so that a slider takes none away that is still asked for.

    Args:
        pixels: uint8 [h, w] or [h, w, 3].
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def verdict(read: Read) -> None:
    """The label with its numbers."""
    answer, binary = read.answer, read.answer["binary"]
    label = named(answer["label"])
    sure = f"{percent(answer['probability'])}, calibrated"
    st.metric(named(read.task), label, sure, delta_color="off", delta_arrow="off")
    if read.true_label is not None:
        right = read.true_label == answer["label"]
        st.badge(
            f"known to be {named(read.true_label)}: {'right' if right else 'wrong'}",
            icon=":material/check:" if right else ":material/close:",
            color="green" if right else "red",
        )
    st.altair_chart(
        probability_chart(answer["probabilities"]),
        width="stretch",
        alt="; ".join(f"{named(n)} {percent(p)}" for n, p in answer["probabilities"].items()),
    )
    lines = []
    if read.task != Task.BINARY:
        lines.append(f"Any tumor: **{percent(binary['tumor_probability'])}**")
    if answer["possible_labels"] is not None:
        possible = ", ".join(map(named, answer["possible_labels"]))
        lines.append(f"Possible labels, {answer['confidence']:.0%} confidence: **{possible}**")
    if answer["distance"] is not None:
        lines.append(f"Distance to the training scans: {answer['distance']:.3f}")
    lines += [f"Model version: `{read.model_version}`", f"Scan: `{answer['scan'][:16]}`"]
    st.markdown("  \n".join(lines))


def probability_chart(probabilities: dict[str, float]) -> alt.LayerChart | alt.FacetChart:
    """Bars from 0 to 1, each with its number."""
    values = [
        {"label": named(label), "probability": value, "text": percent(value)}
        for label, value in probabilities.items()
    ]
    order = sorted(probabilities, key=lambda label: -probabilities[label])
    chart = alt.Chart(alt.InlineData(values=values), height=34 * len(values) + 50).encode(
        x=alt.X("probability:Q", title="calibrated probability")
        .scale(domain=[0, 1.3])
        .axis(values=[0, 0.25, 0.5, 0.75, 1], format="%"),
        y=alt.Y("label:N", sort=list(map(named, order)), title=None),
    )
    bars = chart.mark_bar(color="#0072B2")
    return alt.layer(bars, chart.mark_text(align="left", dx=4).encode(text="text:N"))
