"""What a job writes is kept, head and tail, and can be read while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.core.orchestrators.ports import OutputMissing, Phase
from slimjobs.core.orchestrators.process import RunnerSettings
from slimjobs.core.orchestrators.process.guard import KeptOutput
from slimjobs.core.orchestrators.process.outputs import OutputFile
from tests.core.orchestrators.process.world import a_job, a_script, a_world, until


def read(file: OutputFile, position: int = 0) -> bytes:
    text = b""
    while True:
        piece, position = file.piece(position)
        if not piece:
            return text
        text += piece


def written(path: Path, limit: int, *chunks: bytes) -> OutputFile:
    output = KeptOutput(bytes(path), limit)
    for chunk in chunks:
        output.write(chunk)
    return OutputFile(path)


def test_what_fits_is_kept_whole(tmp_path: Path) -> None:
    assert read(written(tmp_path / "output", 10, b"01234", b"56789")) == b"0123456789"


def test_of_what_does_not_fit_the_first_and_the_last_half_are_kept(tmp_path: Path) -> None:
    file = written(tmp_path / "output", 10, b"0123456789", b"abc")
    assert read(file) == b"01234\n[... 3 bytes left out ...]\n89abc"


@given(limit=st.integers(2, 50), chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_head_and_tail_are_right_for_every_limit_and_every_way_of_writing(
    tmp_path_factory: pytest.TempPathFactory, limit: int, chunks: list[bytes]
) -> None:
    file = written(tmp_path_factory.mktemp("output") / "output", limit, *chunks)
    whole, head = b"".join(chunks), limit // 2
    left_out = len(whole) - limit
    marker = b"\n[... %d bytes left out ...]\n" % left_out
    assert read(file) == (whole if left_out <= 0 else whole[:head] + marker + whole[head + left_out :])


@given(
    lines=st.lists(st.sampled_from([b"", b"a", b"long line"]), max_size=12),
    wanted=st.integers(0, 14),
    ended=st.booleans(),
)
def test_the_tail_begins_where_the_last_lines_do(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], wanted: int, ended: bool
) -> None:
    text = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    file = written(tmp_path_factory.mktemp("output") / "output", 1000, *([text] if text else []))
    expected = text.splitlines(keepends=True)[-wanted:] if wanted else []
    assert read(file, file.tail(wanted)) == b"".join(expected)


def test_a_reader_that_is_overrun_goes_on_behind_what_was_left_out(tmp_path: Path) -> None:
    output = KeptOutput(bytes(tmp_path / "output"), 10)
    output.write(b"01234567")
    file = OutputFile(tmp_path / "output")
    assert file.piece(0) == (b"01234", 5)
    output.write(b"89abcdef")
    assert file.piece(5) == (b"\n[... 6 bytes left out ...]\n", 11)
    assert read(file, 11) == b"bcdef"


async def test_output_and_errors_are_kept_together_as_they_were_written(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        ended = await world.run(a_script("echo one; echo two >&2; echo three; printf end"))
        assert await world.output(ended) == b"one\ntwo\nthree\nend"
        assert await world.output(ended, tail=2) == b"three\nend"


async def test_output_can_be_read_while_the_process_runs(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        script = f"echo early; touch {tmp_path}/said; while ! [ -e {tmp_path}/go ]; do sleep 0.01; done; echo late"
        job = await world.start(a_script(script))
        await until((tmp_path / "said").exists)
        await world.has_written(job, b"early\n")
        (tmp_path / "go").touch()
        await world.ended(job)
        assert await world.output(job) == b"early\nlate\n"


async def test_who_follows_gets_every_line_as_it_is_written_until_the_end(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        script = f"for n in 1 2 3; do echo line $n; while ! [ -e {tmp_path}/$n ]; do sleep 0.005; done; done"
        job = await world.start(a_script(script))
        await world.reached(job, Phase.RUNNING)
        lines = []
        async for piece in world.runner.output(job.name, job.uid, None, None, True):
            lines.append(piece)
            (tmp_path / str(len(lines))).touch()
        assert lines == [b"line 1\n", b"line 2\n", b"line 3\n"]


async def test_several_can_follow_at_once_each_at_their_own_pace(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        job = await world.start(a_script("for n in $(seq 200); do echo $n; sleep 0.001; done"))
        await world.reached(job, Phase.RUNNING, Phase.SUCCEEDED)
        found: list[bytes] = []

        async def follow(pause_seconds: float) -> None:
            text = b""
            async for piece in world.runner.output(job.name, job.uid, None, None, True):
                text += piece
                await trio.sleep(pause_seconds)
            found.append(text)

        async with trio.open_nursery() as nursery:
            for pause_seconds in (0, 0.01, 0.05):
                nursery.start_soon(follow, pause_seconds)
        assert found == ["".join(f"{n}\n" for n in range(1, 201)).encode()] * 3


async def test_who_follows_is_let_go_when_the_object_is_deleted(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        job = await world.start(a_script("echo begun; exec sleep 60"))
        await world.reached(job, Phase.RUNNING)
        async with trio.open_nursery() as nursery:
            text = []

            async def follow() -> None:
                text.append(await world.output(job, follow=True))

            nursery.start_soon(follow)
            await world.has_written(job, b"begun\n")
            await world.delete(job)
        assert text == [b"begun\n"]


async def test_a_flood_is_cut_to_its_limit(tmp_path: Path) -> None:
    async with a_world(tmp_path, RunnerSettings(max_output_bytes=1000)) as world:
        ended = await world.run(a_script("seq 1 100000"))
        text = await world.output(ended)
        assert text.startswith(b"1\n2\n3\n")
        assert text.endswith(b"\n99999\n100000\n")
        assert b"\n[... 587895 bytes left out ...]\n" in text
        assert (await world.output(ended, tail=2)) == b"99999\n100000\n"


async def test_output_that_is_not_there_is_missing_for_a_reason(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        job = await world.create(a_job("true"))
        with pytest.raises(OutputMissing, match=r"no attempt .* has started yet"):
            await world.output(job)
        await world.release(job)
        await world.ended(job)
        with pytest.raises(OutputMissing, match="has no attempt 2"):
            await world.output(job, attempt=2)
        await world.delete(job)
        await world.gone(job)
        with pytest.raises(OutputMissing, match="is gone"):
            await world.output(job)
