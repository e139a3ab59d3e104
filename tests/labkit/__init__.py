# SPDX-License-Identifier: Apache-2.0
# labkit/__init__.py – the parts of tests/lab: scenarios played on an emulated link, and judged.
#
#     row.py       a scenario as data (rows/*.toml): link, phases, bars
#     place.py     hub, branch and a desk in network namespaces, the link between them
#     traffic.py   who puts what on the link: foreground, probes, and the bulk that is judged
#     play.py      one run: the phases in turn, then the samples
#     samples.py   what the meters wrote, read back
#     figures.py   the figures of a run, from its samples alone
#     machine.py   what of the machine a run had for itself
#     kept.py      what was played before, so that a killed matrix goes on
#     judge.py     runs until a median decides; bars
#     report.py    tables, JSON
#     plot.py      rate, queue and round trips over time as SVG
