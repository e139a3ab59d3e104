# SPDX-License-Identifier: Apache-2.0
# e2e/test_lab.py – the lab judges rightly: figures of made-up samples, scenarios, verdicts.
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from labkit import advise, figures, judge, kept, play, plot, report, row, samples  # noqa: E402
from labkit.judge import Judge, Result  # noqa: E402
from labkit.play import Run  # noqa: E402

STATS = {way: {"lateness_us": {"p50": 0, "p99": 0, "max": 0}} for way in ("ab", "ba")}
MBIT = 125_000  # bytes a second


def flow(*stretches):
    """(from, to, Mbit/s): even bytes in every bin."""
    made = samples.Flow(samples.TAP_BIN_S)
    for begin, end, mbit in stretches:
        for number in range(round(begin * 100), round(end * 100)):
            made.add(number / 100, mbit * MBIT / 100)
    return made


def standard_run(bulk, fg=(), meters=(), trips=(), phases=None, **more):
    """A run of S2: alone 0–20, idle 22–37, both 37–57, after 57–72."""
    phases = phases or {"alone": (0, 20), "rest": (20, 22), "idle": (22, 37), "both": (37, 57),
                        "after": (57, 72)}
    given = {"row": row.find(["S2"])[0], "pages": [], "calls": [], "shares": {}, **more}
    given.setdefault("resident", dict.fromkeys(phases, {}))
    return Run(bulk="albedo", out=None, phases=phases, stats=STATS, span=(0, 72),
               flows={"bulk": (flow(*bulk), flow()), "fg": (flow(*fg), flow())},
               trips=list(trips) or [samples.Trip(0, 0.04, 0.02, 0.02),
                                     samples.Trip(30, 0.04, 0.02, 0.02)],
               meters={"cubic": list(meters)}, queue=[],
               made={name: begin + 0.1 for name, (begin, _) in phases.items()}, **given)


def meter(begin, end, mbit):
    return [(begin + n / 10, mbit * MBIT / 10) for n in range(round((end - begin) * 10))]


def test_use_is_of_what_the_link_could_carry_after_settling():
    run = standard_run([(24, 27, 2), (27, 37, 9.5)])
    assert figures.of_run(run)["use"] == pytest.approx(95, abs=0.1)


def test_yield_counts_from_the_foregrounds_beginning_and_has_to_last():
    run = standard_run([(22, 37.5, 9.5), (37.8, 38.0, 9.5), (38.0, 57, 0.1), (57, 72, 9)],
                       meters=[meter(37.1, 57, 9)])
    told = figures.of_run(run)
    assert told["yield"] == pytest.approx(0.9, abs=0.11)  # not in the gap from 37.5 to 37.8
    assert told["ours"] == pytest.approx(1, abs=0.05)


def test_what_never_yields_has_no_time_and_misses_the_bar():
    run = standard_run([(22, 72, 9)], meters=[meter(0, 20, 9.6), meter(37, 57, 1)])
    told = figures.of_run(run)
    assert told["yield"] is None
    assert told["share"] == pytest.approx(100 / 9.6, abs=0.5)
    missed = Result(run.row, "albedo", [told], 0, told).missed("must")
    assert {"yield", "share", "ours"} <= {bar.figure for bar in missed}


def test_recovery_counts_from_the_foregrounds_end():
    run = standard_run([(22, 37, 9), (59, 60, 5), (60, 72, 9)])
    assert figures.of_run(run)["recover"] == pytest.approx(3, abs=0.11)


def test_inflation_is_above_the_runs_own_shortest_round_trip():
    trips = [samples.Trip(n / 50, 0.040 if n < 1000 else 0.040 + (n % 100) / 1e4, 0.02, 0.02)
             for n in range(72 * 50)]
    told = figures.of_run(standard_run([(22, 72, 9)], trips=trips))
    assert told["p50"] == pytest.approx(5, abs=0.2)
    assert told["p95"] == pytest.approx(9.5, abs=0.2)


def test_lost_pings_are_counted_and_do_not_count_as_fast():
    trips = [samples.Trip(n / 10, 0.04 if n % 4 else None, 0.02, 0.02) for n in range(720)]
    told = figures.of_run(standard_run([(22, 72, 9)], trips=trips))
    assert told["lost"] == pytest.approx(25, abs=1)


def test_web_pages_are_held_against_the_same_pages_alone():
    alone = [samples.Page(n, 30_000, 0.1) for n in range(20)]
    beside = [samples.Page(100 + n, 30_000, 0.1 if n % 2 else 0.12) for n in range(21)]
    phases = {"alone": (0, 75), "rest": (75, 77), "idle": (77, 87), "web": (87, 162)}
    run = standard_run([(77, 162, 3)], fg=[(87, 162, 4)], phases=phases, row=row.find(["S16"])[0],
                       pages=alone + beside,
                       trips=[samples.Trip(80, 0.04, 0.02, 0.02)] * 3)
    told = figures.of_run(run)
    assert told["web_30k"] == pytest.approx(20)
    assert told["harvest"] == pytest.approx(50, abs=1)


def test_a_limit_is_checked_in_every_window():
    uneven = flow((0, 10, 4), (10, 10.5, 8), (10.5, 30, 4))
    assert figures.worst_error(uneven, 0, 30, 1.0, 4e6) == pytest.approx(50, abs=1)
    assert figures.worst_error(uneven, 0, 30, 10.0, 4e6) == pytest.approx(5, abs=0.2)


def test_what_came_after_it_was_forbidden_is_counted_but_not_what_was_on_its_way():
    late = flow((20, 20.15, 8), (25, 25.01, 1))
    run = standard_run([(0, 20.15, 8)], phases={"idle": (0, 20), "off": (20, 40)})
    run.flows["bulk large"] = (late, flow())
    assert figures.of_off(run) == {"off_bytes": pytest.approx(MBIT / 100)}


def test_a_flip_is_timed_from_the_command_and_its_worst_second_told():
    made = row.Row.make("x", {"title": "", "link": {"rate": "8mbit"}, "must": {}, "phase": [
        {"name": "flip", "seconds": 20, "cap": "2mbit"}]})
    run = standard_run([(0, 0.5, 8), (0.5, 10, 2), (10, 11, 2.1), (11, 20, 2)], row=made,
                       phases={"flip": (0, 20)})
    told = figures.of_flip(run)
    assert told["flip"] == pytest.approx(0.5, abs=0.11)
    assert told["over_1s"] == pytest.approx(5, abs=0.3)


def test_a_soak_tells_the_longest_stall_and_what_memory_grew_by():
    made = row.find(["S25"])[0]
    assert 3600 <= made.seconds < 3800 and row.find(["S25"])[0].phases == made.phases
    phases = {"quiet0": (0, 60), "busy0": (60, 90), "quiet1": (90, 150)}
    run = standard_run([(0, 30, 9), (38, 60, 9), (90, 150, 9)], row=made, phases=phases,
                       resident={"quiet0": {"hub": 10, "reflector": 100},
                                 "busy0": {"hub": 10, "reflector": 90, "pull": 4},
                                 "quiet1": {"hub": 10, "reflector": 110, "pull": 5}})
    told = figures.of_run(run)
    assert told["stall"] == pytest.approx(8, abs=0.11)
    assert told["grown"] == pytest.approx(10) and told["grown_pull"] == pytest.approx(25)
    assert told["base_error"] is None


def test_a_soak_tells_how_far_the_law_was_from_the_empty_lines_round_trip():
    phases = {"quiet0": (0, 60), "busy0": (60, 90)}
    run = standard_run([(0, 90, 9)], row=row.find(["S25"])[0], phases=phases,
                       bases=[(10, 0.041), (20, 0.0445), (30, 0.040)])
    assert figures.of_run(run)["base_error"] == pytest.approx(4.5)


def test_a_soak_that_hardly_moved_or_whose_memory_nobody_measured_is_missed():
    s25 = row.find(["S25"])[0]
    phases = {"quiet0": (0, 60), "busy0": (60, 90)}
    slow = figures.of_run(standard_run([(0, 90, 0.5)], row=s25, phases=phases,
                                       bases=[(10, 0.04)]))
    missed = Result(s25, "albedo", [slow], 0, slow).missed("must")
    assert slow["grown"] is None and {"use", "grown"} == {bar.figure for bar in missed}


def test_a_soak_may_be_shorter():
    assert row.find(["S25"], minutes=10)[0].seconds < 800


def test_jains_index():
    assert figures.jain([1, 1, 1, 1]) == 1
    assert figures.jain([1, 0, 0, 0]) == 0.25


def test_even_endpoints_are_even_though_their_large_packets_are_told_apart():
    shares = {name: (flow(), flow((22, 37, 5))) for name in ("endpoint0", "endpoint1")}
    shares |= {f"{name} large": (flow((22, 37, 0.1)), flow())
               for name in ("endpoint0", "endpoint1")}
    assert figures.of_run(standard_run([], shares=shares))["jain"] == pytest.approx(1)


def test_a_median_of_what_mostly_never_happened_is_never():
    assert figures.medians([{"yield": 0.3}, {"yield": None}, {"yield": None}]) == {"yield": None}
    assert figures.medians([{"yield": 0.3}, {"yield": 0.5}, {"yield": None}]) == {"yield": 0.4}


def test_every_scenario_reads_and_its_bars_name_figures_that_it_has():
    known = figures.__doc__
    for each in row.all_rows():
        assert each.seconds > 0 and each.must, each.name
        for bar in each.must + each.goal + each.wide:
            stem = bar.figure.split("_")[0]
            assert re.search(rf"\b{re.escape(stem)}(_|\b)", known), f"{each.name}: {bar.figure}"


@pytest.mark.parametrize("link,said", [
    ("4mbit,60ms", "RATE,RTT,QUEUE"), ("4,60ms,150ms", "rate: '4' needs"),
    ("4mbit,60,150ms", "time: '60' needs")])
def test_a_link_that_says_nothing_is_refused_with_the_reason(link, said):
    with pytest.raises(row.RowError, match=said):
        advise.row_of(link, "")


def test_a_link_may_be_asymmetric():
    made = advise.row_of("16mbit/1mbit,30ms,100ms", "")
    assert row.emu_params(made.link) == {
        "rate-ab": "16mbit", "rate-ba": "1mbit", "delay-ab": "15000us", "delay-ba": "15000us",
        "queue-ab": "100ms", "queue-ba": "100ms"}


def test_wide_bars_have_more_room_than_the_others():
    for name in ("S1", "S2", "L1-4"):
        made = row.find([name])[0]
        assert made.widened().must and not made.widened().goal
        strict = {bar.figure: bar.value for bar in made.must}
        for bar in made.wide:
            wider = bar.value < strict[bar.figure] if bar.sign == ">=" else \
                bar.value > strict[bar.figure]
            assert wider, f"{name}: {bar.figure}"


def test_a_policy_that_cannot_be_read_is_told_before_anything_is_built():
    done = subprocess.run([ROOT / "tests/lab", "--link", "4mbit,60ms,150ms", "--policy", "/none"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "cannot read /none: No such file" in done.stderr


def test_an_operator_is_answered_in_sentences():
    told = {"use": 91.0, "p50": 2.0, "p95": 7.0, "share": 98.0, "yield": 0.4, "ours": 0.7,
            "back": None}
    said = advise.advice(Result(advise.row_of("4mbit,60ms,150ms", ""), "albedo", [told], 0, told))
    assert "kept 98 %" in said and "after 0.4 s" in said and "not within 15 s" in said
    assert "no run came to its end" in advise.advice(Result(None, "albedo", [], 0, {}))


def test_an_unknown_scenario_is_named_with_those_that_exist():
    done = subprocess.run([ROOT / "tests/lab", "S99"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no scenario 'S99'" in done.stderr and "S2" in done.stderr


def test_a_run_on_a_late_machine_is_neither_held_nor_missed():
    made = row.find(["S2"])[0]
    assert Result(made, "albedo", [], 6, {}).verdict == "noisy"
    assert "noisy" in report.table([Result(made, "albedo", [], 6, {})])


def test_without_an_emulator_the_pings_own_times_say_how_late_the_machine_was():
    even = [samples.Trip(5 + n / 50, 0.001, 0, 0) for n in range(500)]
    assert play.machine_lateness(even)["valid"]
    stalled = even[:200] + [samples.Trip(9.1, 0.001, 0, 0)] * 5 + even[205:]
    assert not play.machine_lateness(stalled)["valid"]


def test_half_a_line_of_a_killed_tool_is_left_out(tmp_path):
    (tmp_path / "x.csv").write_text("sent_us,rtt_us,up_us,down_us\n1000000,40000,2,3\n2000000,400")
    assert [trip.rtt for trip in samples.read_trips(tmp_path / "x.csv")] == [0.04]


class Played:
    """A judge's memory and machine without either: runs end as `endings` say, in turn."""

    def __init__(self, monkeypatch, out, *endings):
        out.mkdir(exist_ok=True)
        self.kept, self.endings, self.made = kept.Kept(out), list(endings), []
        monkeypatch.setattr(kept, "programs_of", lambda bulk: "these")
        monkeypatch.setattr(Judge, "run", self.run)

    def run(self, row_of_it, bulk):
        told = {"valid": True, "late": {}, "figures": {}, "trouble": "", "others": 0, "seconds": 1}
        told |= self.endings.pop(0)
        self.made.append((row_of_it.name, bulk))
        self.kept.add(row_of_it, bulk, told)
        return told

    def judge(self, names, **how):
        made = Judge(self.kept, [(each, "albedo") for each in row.find(names)], **how)
        made.judge_all(lambda result: None)
        return made.results()


def use(percent, **more):
    good = {"share": percent, "yield": 0.1, "recover": 1, "ours": 0.5}
    return {"figures": good | {"use": percent, "p50": 1, "p95": 1, "p99": 1}, **more}


INVALID = {"valid": False, "others": 60}


def test_the_median_of_three_decides_and_of_five_after_a_miss(monkeypatch, tmp_path):
    play_three = Played(monkeypatch, tmp_path / "a", *[use(95)] * 3)
    assert play_three.judge(["S1"])[0].verdict == "goal" and len(play_three.made) == 3
    play_five = Played(monkeypatch, tmp_path / "b", use(50), use(50), use(95), use(95), use(95))
    told = play_five.judge(["S1"])[0]
    assert told.verdict == "goal" and len(told.runs) == 5 and not play_five.endings
    lucky_fourth = Played(monkeypatch, tmp_path / "c", use(80), use(85), use(99), use(99), use(70))
    told = lucky_fourth.judge(["S1"])[0]
    assert told.verdict == "MISSED" and len(told.runs) == 5
    no_fifth = Played(monkeypatch, tmp_path / "d", use(80), use(85), use(99), use(99),
                      *[INVALID] * 3)
    assert no_fifth.judge(["S1"])[0].verdict == "MISSED" and not no_fifth.endings
    resumed = Played(monkeypatch, tmp_path / "d", use(99))
    assert resumed.judge(["S1"])[0].verdict == "goal" and len(resumed.made) == 1


def test_an_invalid_run_never_counts_and_is_repeated_up_to_a_bound(monkeypatch, tmp_path):
    some = Played(monkeypatch, tmp_path, INVALID, INVALID, use(95))
    told = some.judge(["S1"], repeat=1)[0]
    assert told.verdict == "goal" and told.invalid == 2
    never = Played(monkeypatch, tmp_path / "only", *[INVALID] * 9)
    assert never.judge(["S1"], repeat=1, tries=2)[0].verdict == "noisy"
    assert len(never.made) == 2


def test_all_rows_are_played_once_before_any_is_played_twice(monkeypatch, tmp_path):
    matrix = Played(monkeypatch, tmp_path, *[use(99)] * 4)
    matrix.judge(["S1", "S2"], repeat=2)
    assert [name for name, _ in matrix.made] == ["S1", "S2", "S1", "S2"]


def test_what_was_missed_is_played_again_before_what_was_held(monkeypatch, tmp_path):
    matrix = Played(monkeypatch, tmp_path, use(99), use(10), use(99), use(99))
    matrix.judge(["S1", "S9"], repeat=2)
    assert [name for name, _ in matrix.made]== ["S1", "S9", "S9", "S1"]


def test_a_killed_matrix_goes_on_where_it_was(monkeypatch, tmp_path):
    killed = Played(monkeypatch, tmp_path, use(99))
    with pytest.raises(IndexError):
        killed.judge(["S1", "S2"], repeat=1)
    with open(tmp_path / kept.FILE, "a", encoding="utf-8") as file:
        file.write('{"row": "S2", "bu')  # it was writing
    again = Played(monkeypatch, tmp_path, use(99))
    assert [told.verdict for told in again.judge(["S1", "S2"], repeat=1)] == ["goal", "goal"]
    assert again.made == [("S2", "albedo")]
    assert [told.verdict for told in report.from_folder(tmp_path)] == ["goal", "goal"]


def test_two_do_not_play_into_one_folder(tmp_path):
    with kept.claim(tmp_path), pytest.raises(kept.InUse, match="name another --out"):
        kept.claim(tmp_path)
    kept.claim(tmp_path).close()


def test_runs_of_other_programs_or_of_another_scenario_do_not_count(monkeypatch, tmp_path):
    older = Played(monkeypatch, tmp_path, use(99))
    older.judge(["S1"], repeat=1)
    monkeypatch.setattr(kept, "programs_of", lambda bulk: "those")
    now, s1 = kept.Kept(tmp_path), row.find(["S1"])[0]
    assert now.of(s1, "albedo") == [] and now.others(s1, "albedo") == 1
    monkeypatch.setattr(kept, "programs_of", lambda bulk: "these")
    assert len(now.of(s1, "albedo")) == 1 and len(now.of(s1.widened(), "albedo")) == 1
    s1.link["rate"] = "11mbit"
    assert now.of(s1, "albedo") == []


def test_figures_of_another_reckoning_do_not_count(monkeypatch, tmp_path):
    monkeypatch.setenv("ALB_BIN_DIR", str(tmp_path))
    monkeypatch.setattr(kept, "HERE", tmp_path)
    before = kept.programs_of("albedo")
    (tmp_path / "figures.py").write_text("use = 100\n")
    assert kept.programs_of("albedo") != before


def test_a_table_made_later_judges_by_as_many_runs_as_were_asked_for(monkeypatch, tmp_path):
    seven = [use(percent, repeat=7) for percent in (50, 50, 95, 95, 95, 50, 50)]
    now = Played(monkeypatch, tmp_path, *seven).judge(["S1"], repeat=7)[0]
    later = report.from_folder(tmp_path)[0]
    assert (len(now.runs), now.verdict) == (len(later.runs), later.verdict) == (7, "MISSED")


def test_what_is_forgotten_stays_forgotten(monkeypatch, tmp_path):
    Played(monkeypatch, tmp_path, use(99)).judge(["S1"], repeat=1)
    s1 = row.find(["S1"])[0]
    assert kept.Kept(tmp_path).forget(s1, "albedo") == 1
    assert kept.Kept(tmp_path).forget(s1, "albedo") == 0
    assert kept.Kept(tmp_path).of(s1, "albedo") == []


def test_a_run_that_breaks_off_fails_its_row_and_the_others_are_played(monkeypatch, tmp_path):
    broken = Played(monkeypatch, tmp_path, use(0, trouble="the bulk ended\nlog"), use(99))
    first, second = broken.judge(["S1", "S2"], repeat=1)
    assert (first.verdict, second.verdict) == ("FAILED", "goal")
    assert "the bulk ended  (until it is played again: tests/lab S1)" in report.table([first])


def test_a_run_whose_machine_others_had_is_invalid_whatever_it_told(monkeypatch, tmp_path):
    monkeypatch.setattr(kept, "programs_of", lambda bulk: "these")
    monkeypatch.setattr(judge, "play", lambda *_: standard_run([(22, 72, 9)]))
    monkeypatch.setattr(judge, "draw", lambda *_: None)
    monkeypatch.setattr(judge.machine.Others, "percent", lambda _: 80)
    made = Judge(kept.Kept(tmp_path), [])
    assert not made.run(row.find(["S2"])[0], "albedo")["valid"]
    monkeypatch.setattr(judge.machine.Others, "percent", lambda _: 2)
    assert made.run(row.find(["S2"])[0], "albedo")["valid"]


def test_time_that_is_over_leaves_runs_for_the_next_time(monkeypatch, tmp_path):
    late = Played(monkeypatch, tmp_path)
    assert late.judge(["S1"], until=0.001)[0].verdict == "-" and late.made == []


def test_a_comparison_stands_side_by_side(monkeypatch, tmp_path):
    s2 = row.find(["S2"])[0]
    told = report.comparison([Result(s2, bulk, [f], 0, f) for bulk, f in (
        ("albedo", {"share": 98.0}), ("curl-cubic", {"share": 51.0}))])
    assert "| Albedo | 98.0 | 1 run |" in told and "| curl, CUBIC | 51.0 |" in told


@pytest.mark.parametrize("words,said", [
    (["S1", "--minutes", "10"], "no soak"), (["--table", "/tmp", "S2"], "each stands alone"),
    (["--list", "S2"], "each stands alone"), (["--list", "--table", "/tmp"], "each stands alone"),
    (["S1", "--policy", "x"], "add --link"), ([], "name a scenario"),
    (["S1", "--must"], "one of them"), (["--must", "--minutes", "3"], "how long a soak takes"),
    (["--compare", "--bulk", "ledbat"], "leave --bulk out"), (["S1", "--tries", "0"], "1 or more"),
    (["--table", "/nonexistent"], "nothing was played")])
def test_what_would_be_passed_over_in_silence_is_refused(words, said):
    done = subprocess.run([ROOT / "tests/lab", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and said in done.stderr


def test_a_known_miss_may_not_get_worse_unseen():
    made = row.Row.make("x", {"title": "", "link": {"rate": "8mbit"}, "timeline": {},
                              "must": {"use": ">= 70"}, "goal": {"use": ">= 85"},
                              "known": {"use": ">= 35"}})
    for told, verdict in ((36, "known"), (34, "MISSED"), (71, "must")):
        assert Result(made, "albedo", [{"use": told}], 0, {"use": told}).verdict == verdict


def test_an_hours_plot_has_no_more_points_than_a_screen_and_keeps_the_highest():
    points = [(n, 1000 if n == 77_777 else n % 7) for n in range(100_000)]
    thin = plot.thinned(points)
    assert len(thin) < 2 * plot.POINTS_MOST and max(value for _, value in thin) == 1000
    assert plot.thinned(points[:10]) == points[:10]
    assert (0, None) in plot.thinned([(n, None if n == 3 else 1) for n in range(100_000)])
