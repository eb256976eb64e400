"""The model card of a report, its settings and its versions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pydantic import BaseModel

from ..config import FinetuneConfig
from ..models.provenance import DISTRIBUTION
from .methods import base_name, parameters
from .page import Table
from .run_record import RunRecord


def model_card(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield what a user of the model must know."""
    of, origin = record.model.card, record.model.card.provenance
    yield "File", record.model_path.name
    yield "sha256 of the file", hashlib.sha256(record.model_path.read_bytes()).hexdigest()
    yield "Made", f"{origin.created} with {DISTRIBUTION} {origin.package_version}"
    yield (
        "Network",
        f"Attention U-Net, {of.shape.levels} levels, width {of.shape.width}, {parameters(record):,} parameters",
    )
    yield (
        "Input",
        f"{of.shape.in_channels} channel(s); of others is seen {of.channels.in_words}; {of.normalization.in_words}",
    )
    yield "Output", f"probability of an object per pixel, cut at {of.threshold:.2f}"
    yield "Patch and tile size", f"{of.patch_size} px"
    if not record.from_scratch:
        yield "Base model", f"{base_name(record)}; sha256 of its weights {origin.parent_sha256 or 'not recorded'}"
    yield "Intended for", "images like those it was trained on: same objects, stain, instrument and scale"
    if record.model.rehearsal is not None:
        yield (
            "Old images inside",
            f"{len(record.model.rehearsal)} patches of the base model's training images, for replay",
        )
    yield "Licence", origin.licence or "not stated"
    yield "Citation", origin.citation or "not stated"


def setting_tables(record: RunRecord) -> Iterator[Table]:
    """Yield the settings, those that differ from the preset first."""
    rows = setting_rows(record)
    changed = [row for row in rows if row["origin"] != "preset"]
    if changed:
        yield Table(
            ("setting", "value", "preset's value", "set by"),
            tuple((row["setting"], row["value"], row["preset_value"], row["origin"]) for row in changed),
            f"Different from the preset “{record.config.preset}”.",
            text_columns=4,
        )
    rest = [row for row in rows if row["origin"] == "preset"]
    half = -(-len(rest) // 2)
    pairs = [
        (*_two(rest[index]), *_two(rest[index + half] if index + half < len(rest) else None)) for index in range(half)
    ]
    caption = f"As in the preset “{record.config.preset}”."
    yield Table(("setting", "value", "setting", "value"), tuple(pairs), caption, text_columns=4)


def _two(row: dict[str, str] | None) -> tuple[str, str]:
    return (row["setting"], row["value"]) if row else ("", "")


def setting_rows(record: RunRecord) -> list[dict[str, str]]:
    """Return every setting with its value, that of its preset, and who set it: preset, user or program."""
    preset = dict(flat(FinetuneConfig.from_preset(record.config.preset)))
    asked, used = dict(flat(record.request.config)), dict(flat(record.config))
    rows = []
    for name, value in used.items():
        if name in ("version", "preset"):
            continue
        by_user = asked.get(name) != preset.get(name)
        origin = "user" if by_user else "preset" if value == preset.get(name) else "program"
        rows.append({"setting": name, "value": value, "preset_value": preset.get(name, "–"), "origin": origin})
    return rows


def flat(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting with its value as text; a group's settings have dotted names."""
    for name, value in config:
        if isinstance(value, BaseModel):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def versions(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield what the training ran with and on."""
    yield from sorted(record.model.card.provenance.versions.items())
    yield "device of the training", f"{record.started.device}, {record.started.precision}"
    yield "time of the steps", f"{record.training_s:,.0f} s, without validation"
    yield "seed", str(record.config.seed)
