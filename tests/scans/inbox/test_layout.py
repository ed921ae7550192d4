import pytest

from tumorml.errors import DropRefusedError
from tumorml.labels import parse_label
from tumorml.scans.inbox.layout import KNOWN_LABELS, read_folders
from tumorml.scans.inbox.manifest import find_manifest, read_manifest


def label_and_split(path: str, *others: str, stem: str = "drop") -> tuple[str | None, str | None]:
    description = read_folders([path, *others], stem).descriptions[path]
    assert description.role == "scan", description.reason
    return description.label, description.given_split


@pytest.mark.parametrize(
    ("path", "label", "split"),
    [
        ("glioma/a.jpg", "glioma", None),
        ("Training/glioma_tumor/a.jpg", "glioma", "train"),
        ("Testing/notumor/a.jpg", "no_tumor", "test"),
        ("test/no_tumor/a.jpg", "no_tumor", "test"),
        ("brain_tumor_dataset/yes/Y1.jpg", "tumor", None),
        ("archive/brain_tumor_dataset/no/1 no.jpeg", "no_tumor", None),
        ("Brain-Tumor/Training/Pituitary Tumour/p.png", "pituitary", "train"),
        ("tumor/glioma/a.jpg", "glioma", None),
        ("./meningioma/patient 7/a.jpg", "meningioma", None),
        ("images/Healthy/a.jpg", "no_tumor", None),
        (r"Training\glioma\a.jpg", "glioma", "train"),
        ("valid/positive/a.jpg", "tumor", "train"),
    ],
)
def test_folder_names_determine_labels_and_splits(path: str, label: str, split: str | None) -> None:
    assert label_and_split(path) == (label, split)


@pytest.mark.parametrize(
    "path", ["a.jpg", "unlabelled/a.jpg", "Unlabeled/b/a.jpg", "images/a.jpg", "drop/a.jpg"]
)
def test_scans_outside_label_folders_are_unlabeled(path: str) -> None:
    assert label_and_split(path) == (None, None)


def test_unlabeled_folder_is_allowed_beside_label_folders() -> None:
    assert label_and_split("unlabeled/a.jpg", "glioma/b.jpg") == (None, None)


@pytest.mark.parametrize("path", ["gliom/a.jpg", "Training/stuff/a.jpg", "glioma_x/b/a.jpg"])
def test_unknown_folder_error_lists_known_labels(path: str) -> None:
    description = read_folders([path, "glioma/b.jpg"], "drop").descriptions[path]
    assert description.role == "refused"
    assert KNOWN_LABELS in str(description.reason)


def test_all_listed_label_spellings_are_parsed() -> None:
    spelled = KNOWN_LABELS.replace(" and ", ", ").replace("also as ", "").split(", ")
    assert all(map(parse_label, spelled))


def test_scan_beside_or_in_two_label_folders_is_refused() -> None:
    descriptions = read_folders(["a.jpg", "glioma/b.jpg", "no/yes/c.jpg"], "drop").descriptions
    assert "beside the label folders" in str(descriptions["a.jpg"].reason)
    assert "no_tumor and tumor" in str(descriptions["no/yes/c.jpg"].reason)


def test_system_files_are_companions() -> None:
    paths = ["__MACOSX/glioma/._a.jpg", "glioma/.DS_Store", "glioma/Thumbs.db", "x/desktop.ini"]
    descriptions = read_folders([*paths, "glioma/a.jpg"], "drop").descriptions
    assert {descriptions[path].role for path in paths} == {"companion"}
    assert descriptions["glioma/a.jpg"].label == "glioma"


def test_manifest_describes_scans_masks_and_attributes() -> None:
    data = (
        "\ufeffPath,label,patient_id,study_id,site,acquired_at,mask,split,fold\r\n"
        "images/a.jpg,Glioma,p1,s1,north,2020-01-02,masks/a.png,Test,3\r\n"
        '"images/b,c.jpg",,,,,,,,\r\n\r\n'
    ).encode()
    paths = ["w/images/a.jpg", "w/images/b,c.jpg", "w/masks/a.png", "w/manifest.csv"]
    assert find_manifest(paths) == "w/manifest.csv"
    descriptions = read_manifest(data, "w/manifest.csv", paths).descriptions
    first = descriptions["w/images/a.jpg"]
    assert (first.label, first.patient_id, first.study_id) == ("glioma", "p1", "s1")
    assert (first.site, first.acquired_at, first.given_split) == ("north", "2020-01-02", "test")
    assert first.mask == "w/masks/a.png"
    assert first.attributes == {"fold": "3"}
    assert descriptions["w/masks/a.png"].mask_of == ("w/images/a.jpg",)
    assert descriptions["w/images/b,c.jpg"].role == "scan"
    assert descriptions["w/images/b,c.jpg"].label is None
    assert descriptions["w/images/b,c.jpg"].attributes is None
    assert descriptions["w/manifest.csv"].role == "companion"


def test_manifest_may_use_semicolons_backslashes_and_nfc() -> None:
    data = "path;label\n.\\im\u00e4ges\\a.jpg;yes\n".encode()
    path = "ima\u0308ges/a.jpg"
    assert read_manifest(data, "manifest.csv", [path]).descriptions[path].label == "tumor"


def test_file_listed_with_two_labels_is_refused() -> None:
    data = b"path,label\na.jpg,glioma\nb.jpg,glioma\nb.jpg,glioma\na.jpg,no\n"
    descriptions = read_manifest(data, "manifest.csv", ["a.jpg", "b.jpg"]).descriptions
    assert "'glioma' and 'no'" in str(descriptions["a.jpg"].reason)
    assert descriptions["b.jpg"].role == "scan"


def test_other_columns_become_attributes_in_lower_case() -> None:
    data = (
        b",Path,label, Plane ,SCANNER,note\n"
        b'0,a.jpg,glioma,axial,"Aera, 1.5 T",\n'
        b"1,b.jpg,glioma,,,,,\n"
    )
    descriptions = read_manifest(data, "manifest.csv", ["a.jpg", "b.jpg"]).descriptions
    assert descriptions["a.jpg"].attributes == {"plane": "axial", "scanner": "Aera, 1.5 T"}
    assert descriptions["b.jpg"].attributes is None


def test_rows_differing_in_another_column_refuse_the_file() -> None:
    data = b"path,label,plane,site\na.jpg,no,axial,x\n./a.jpg,no,,x\nb.jpg,no,axial,x\n"
    descriptions = read_manifest(
        data + b"b.jpg,no,axial,x\n", "manifest.csv", ["a.jpg", "b.jpg"]
    ).descriptions
    assert "with the plane 'axial' and 'empty'" in str(descriptions["a.jpg"].reason)
    assert descriptions["b.jpg"].attributes == {"plane": "axial"}


def test_32_other_columns_of_200_characters_are_kept() -> None:
    names = [f"c{number}" for number in range(31)] + ["n" * 200]
    data = f"path,label,{','.join(names)}\na.jpg,no{',' + 'v' * 200}{',w' * 31}\n".encode()
    attributes = read_manifest(data, "manifest.csv", ["a.jpg"]).descriptions["a.jpg"].attributes
    assert attributes == {"c0": "v" * 200} | dict.fromkeys(names[1:], "w")


def test_missing_and_unlisted_files_have_different_reasons() -> None:
    data = b"path,label\na.jpg,glioma\nb.jpg,glioma\n../c.jpg,glioma\n"
    layout = read_manifest(data, "manifest.csv", ["a.jpg", "d.jpg", "../c.jpg"])
    assert set(layout.missing) == {"b.jpg", "../c.jpg"}
    assert layout.descriptions["d.jpg"].reason == "Not listed in manifest.csv."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"path,class\na.jpg,glioma\n", "needs exactly one column 'label'"),
        (b"", "needs exactly one column 'path'"),
        (b"path,label\n\xff\xfe.jpg,glioma\n", "not UTF-8"),
        (b'path,label\n"a.jpg,glioma\n', "CSV"),
        (b"path,label\n" + b"a" * 200_000 + b",glioma\n", "CSV"),
        (
            b"path,label" + b"".join(b",c%d" % n for n in range(33)) + b"\n",
            "33 columns .* limit is 32",
        ),
        (
            b"path,label,note\na.jpg,no,\na.jpg,no," + b"n" * 201,
            "row 3: the value of note has 201 char",
        ),
        (b"path,label," + b"n" * 201 + b"\n", "column name of 201 characters"),
        (b"path,label,Plane,plane\n", "column 'plane' more than once"),
        (b"path,label,site,site\n", "column 'site' more than once"),
        (b"path,label,site\na.jpg,no,Mainz, Germany\n", "row 2, has more fields"),
    ],
)
def test_unreadable_manifest_refuses_the_drop(data: bytes, reason: str) -> None:
    with pytest.raises(DropRefusedError, match=reason):
        read_manifest(data, "manifest.csv", ["a.jpg"])


def test_two_manifests_below_the_root_refuse_the_drop() -> None:
    with pytest.raises(DropRefusedError, match="several manifests"):
        find_manifest(["a/manifest.csv", "b/manifest.csv"])
