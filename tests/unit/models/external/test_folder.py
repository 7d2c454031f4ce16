import json
from pathlib import Path
from typing import Any

import pytest

from models.external.bundle_folder import read_bundle
from models.external.folder import FolderOptions, folder_card, read_options, tumour_label
from models.external.nnunet_folder import NnunetOptions, nnunet_card, read_nnunet
from models.registry import load_model, model_card
from models.segmenter import ON_CPU, ModelError


@pytest.fixture
def nnunet(tmp_path: Path) -> Path:
    """The files of a trained folder; its checkpoints are never opened."""
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__2d"
    for fold in ("0", "3", "all"):
        (folder / f"fold_{fold}").mkdir(parents=True)
        (folder / f"fold_{fold}" / "checkpoint_final.pth").write_bytes(fold.encode())
    write(folder / "plans.json", {"dataset_name": "Dataset006_Lung", "configurations": {"2d": {}}})
    write(folder / "dataset.json", {"channel_names": {"0": "CT"}, "labels": {"background": 0, "cancer": 1}})
    return folder


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def folds(folder: Path) -> list[str]:
    return [checkpoint.parent.name for checkpoint in read_nnunet(folder).checkpoints]


def test_the_only_label_means_tumour_whatever_its_name() -> None:
    assert tumour_label(["krebs"], FolderOptions(), Path()) == "krebs"


@pytest.mark.parametrize("name", ["Lung Tumor", "tumour", "NSCLC_GTV-1", "cancer", "lung_nodules", "lesions"])
def test_among_several_labels_the_one_named_like_a_tumour_is_used(name: str) -> None:
    assert tumour_label(["lung", name, "heart"], FolderOptions(), Path()) == name


@pytest.mark.parametrize("labels", [["primary tumor", "nodal tumor"], ["lung", "heart"]])
def test_ambiguous_labels_need_an_option(labels: list[str]) -> None:
    with pytest.raises(ModelError, match=f"the tumour label is ambiguous.*labels: {', '.join(labels)}"):
        tumour_label(labels, FolderOptions(), Path("x"))
    assert tumour_label(labels, FolderOptions(tumour=labels[0]), Path("x")) == labels[0]
    with pytest.raises(ModelError, match="the tumour label is ambiguous"):
        tumour_label(labels, FolderOptions(tumour="liver"), Path("x"))


def test_a_region_means_all_its_values(nnunet: Path) -> None:
    labels = {"background": 0, "lung": [1, 2, 3], "tumour": [2, 3], "ignore": 4}
    write(nnunet / "dataset.json", {"channel_names": {"0": "CT"}, "labels": labels})

    assert read_nnunet(nnunet).tumour == [2, 3]


def test_numbered_folds_are_averaged_and_fold_all_needs_an_option(nnunet: Path) -> None:
    assert folds(nnunet) == ["fold_0", "fold_3"]
    write(nnunet / "lungspread.json", {"folds": ["all"]})
    assert folds(nnunet) == ["fold_all"]


def test_fold_all_is_used_if_it_is_the_only_one(nnunet: Path) -> None:
    for fold in ("0", "3"):
        (nnunet / f"fold_{fold}" / "checkpoint_final.pth").unlink()

    assert folds(nnunet) == ["fold_all"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"folds": ["7"]}, "missing fold_7/checkpoint_final.pth"),
        ({"checkpoint": "checkpoint_best.pth"}, r"missing fold_\*/checkpoint_best.pth"),
        ({"tumor": "cancer"}, "tumor: Extra inputs"),
        ({"orientation": "LLS"}, "orientation: .*three letters"),
        ({"smallest_lesion_ml": -1}, "smallest_lesion_ml: "),
    ],
)
def test_invalid_options_are_rejected_with_their_name(nnunet: Path, options: dict[str, Any], named: str) -> None:
    write(nnunet / "lungspread.json", options)

    with pytest.raises(ModelError, match=named):
        read_nnunet(nnunet)


def test_a_pickle_beside_the_checkpoints_is_rejected(nnunet: Path) -> None:
    (nnunet / "fold_0" / "postprocessing.pkl").write_bytes(b"")

    with pytest.raises(ModelError, match=r"postprocessing\.pkl: a pickle may run code: remove it"):
        read_nnunet(nnunet)


def test_a_network_with_two_input_images_is_rejected(nnunet: Path) -> None:
    write(nnunet / "dataset.json", {"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "gtv": 1}})

    with pytest.raises(ModelError, match="needs 2 images of each patient"):
        read_nnunet(nnunet)


@pytest.mark.parametrize("text", ["", "[]", '{"labels": {}'])
def test_a_file_without_a_json_object_is_named(nnunet: Path, text: str) -> None:
    (nnunet / "plans.json").write_text(text)

    with pytest.raises(ModelError, match=r"plans\.json: not (JSON|a JSON object)$"):
        read_nnunet(nnunet)


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ModelError, match=r"/nowhere/plans\.json: No such file"):
        model_card("nnunet:/nowhere")
    with pytest.raises(ModelError, match=r"/nowhere/configs/metadata\.json: No such file"):
        model_card("monai_bundle:/nowhere")


def test_the_hash_covers_each_checkpoint_and_the_labels(nnunet: Path) -> None:
    cards = [nnunet_card(read_nnunet(nnunet))]
    (nnunet / "fold_3" / "checkpoint_final.pth").write_bytes(b"other")
    cards.append(nnunet_card(read_nnunet(nnunet)))
    write(nnunet / "dataset.json", {"channel_names": {"0": "CT"}, "labels": {"background": 0, "gtv": 1}})
    cards.append(nnunet_card(read_nnunet(nnunet)))
    (nnunet / "fold_all" / "checkpoint_final.pth").write_bytes(b"not one of the averaged ones")
    cards.append(nnunet_card(read_nnunet(nnunet)))

    assert len({card.weights_sha256 for card in cards}) == 3
    assert cards[2] == cards[3]
    assert cards[0].name == "Dataset006_Lung 2d"
    assert cards[0].licence == "not stated"


def test_names_fit_into_the_reports(tmp_path: Path) -> None:
    options = FolderOptions(
        name="Tümör\\model of a hospital with a very long name", version="2026-11-23 of the night shift"
    )
    card = folder_card(tmp_path, [], options, {"name": "x", "weights_file": "y"})

    assert card.name.startswith("T_m_r_model of")
    assert len(f"{card.name} {card.version}") <= 64  # PS3.5, table 6.2-1: LO


def test_an_unknown_kind_of_model_lists_the_known_ones() -> None:
    with pytest.raises(
        ModelError, match="there are: lung_tumour, lung_tumour:FOLDER, nnunet:FOLDER, monai_bundle:FOLDER"
    ):
        load_model("onnx:/models/x", ON_CPU)


def test_options_left_out_have_defaults(tmp_path: Path) -> None:
    assert read_options(tmp_path, NnunetOptions) == NnunetOptions()
    assert NnunetOptions().mirroring


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({}, "lacks inputs or outputs in network_data_format"),
        ({"network_data_format": {"inputs": {"image": {}}, "outputs": {}}}, "lacks inputs or outputs"),
        (
            {"network_data_format": {"inputs": {"a": {}, "b": {}}, "outputs": {"pred": {"channel_def": {"0": "x"}}}}},
            "more than one image",
        ),
        (
            {"network_data_format": {"inputs": {"a": {}}, "outputs": {"pred": {"channel_def": {"0": "x"}}}}},
            "missing configs/inference.json or ",
        ),
    ],
)
def test_incomplete_metadata_is_rejected(tmp_path: Path, metadata: dict[str, Any], named: str) -> None:
    (tmp_path / "configs").mkdir()
    write(tmp_path / "configs" / "metadata.json", metadata)

    with pytest.raises(ModelError, match=named):
        read_bundle(tmp_path)
