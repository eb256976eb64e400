"""`report` from the terminal."""

from .conftest import TINY


def test_report_of_a_run(answer, invoke, complaint, data, model, squares, tmp_path):
    run = tmp_path / "run"
    assert answer("finetune", *data, "--model", model, "--out", run, *TINY)[0] == 0
    code, files = answer("report", run, "--device", "cpu")
    assert code == 0
    assert files["page"] == str(run / "report.html") and (run / "report.html").is_file()
    assert len(files["tables"]) == 3 and not files["stopped"]
    out = tmp_path / "pages" / "mine.html"
    result = invoke("report", run, "--out", out, *data, "--device", "cpu")
    assert str(out) in result.stdout and (out.parent / "mine-scores.csv").is_file()
    assert "used in the training as well" in out.read_text()
    assert "need their masks" in complaint("report", run, "--images", squares / "images")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "plan.json").write_text("{}")
    for options in ([*data], ["--device", "cpu"], ["--sparse"]):
        sentence = complaint("report", tmp_path / "study", *options)
        assert "scores" in sentence and "Leave" in sentence and options[0] in sentence
    assert "not the folder of a run" in complaint("report", tmp_path)
