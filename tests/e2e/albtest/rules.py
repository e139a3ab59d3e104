# SPDX-License-Identifier: Apache-2.0
# albtest/rules.py – documents that an admin writes, and what the command says to them.

import json


def office(**site):
    """By day what nobody else wants, by night a rate; `site` is what more is said of the branch."""
    return {"format": 1, "zone": "Europe/Oslo", "sites": [{"name": "branch"} | site],
            "rules": [{"name": "office", "scope": "site:branch", "days": "mon-fri",
                       "hours": "08:00-18:00", "mode": "scavenge", "ceiling": "4Mbit"},
                      {"name": "night", "scope": "site:branch", "mode": "capped",
                       "rate": "8Mbit"}]}


def written(folder, document, name="policy.json"):
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def said(member, *words, env=None):
    """What it answered, well or not; a sanitizer has nothing to say in either case."""
    done = member.albedo(*words, code=None, env=env, plain=True)
    assert "Sanitizer" not in done.err, done
    return done
