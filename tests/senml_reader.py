"""A reader of SenML JSON packs (RFC 8428, section 4.6), written from the standard: what our packs mean to others."""

LIMIT = 2**28  # a time below is relative to now


def resolve(pack, *, now=None):
    """The pack's records, resolved and in chronological order."""
    base = {"bn": "", "bt": 0, "bu": None, "bv": 0, "bs": 0}
    found = []
    for record in pack:
        for label in record:
            assert not label.endswith("_"), f"a label that must be understood: {label}"
        base |= {label: record[label] for label in base if label in record}
        kinds = [label for label in ("v", "vs", "vb", "vd") if label in record]
        if not kinds and "s" not in record:
            continue
        t = base["bt"] + record.get("t", 0)
        if t < LIMIT:
            assert now is not None, "a relative time needs a now"
            t += now
        entry = {"n": base["bn"] + record.get("n", ""), "t": float(t)}
        unit = record.get("u", base["bu"])
        if unit is not None:
            entry["u"] = unit
        for kind in kinds:
            entry[kind] = record[kind] + base["bv"] if kind == "v" else record[kind]
        found.append(entry)
    return sorted(found, key=lambda entry: entry["t"])
