"""`estimate` and the other questions from the terminal."""

CPU = ["--device", "cpu"]


def test_estimate_prints_a_sentence_and_writes_maps(answer, invoke, data, model, tmp_path):
    command = ["estimate", *data, "--model", model, *CPU]
    code, values = answer(*command, "--maps", tmp_path / "maps")
    assert code == 0
    assert len(values["images"]) == 5 and len(list((tmp_path / "maps").iterdir())) == 5
    assert {point["threshold"] for point in values["curve"]} >= {0.5, values["threshold"]}
    assert values["summary"].startswith("The model predicts ")
    plain = invoke(*command).stdout
    assert "img_03" in plain and "The model predicts" in plain


def test_estimate_at_another_threshold(answer, data, model):
    low, high = (
        answer("estimate", *data, "--model", model, *CPU, "--threshold", value)[1]["area_ratio"] for value in (0.2, 0.9)
    )
    assert low > high


def test_can_learn_gives_a_verdict_and_fails_where_it_is_not_ready(answer, invoke, data, model):
    command = ["can-learn", *data, "--model", model, *CPU, "--set", "patch_size=32"]
    code, values = answer(*command, "--steps", 60)
    assert (code, values["verdict"]) == (0, "ready") and len(values["images"]) == 2
    result = invoke(*command, "--steps", 1)
    assert result.exit_code == 1 and "by heart" in result.stdout
