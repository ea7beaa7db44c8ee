"""Requests on their way to a server's batches: none is lost, and none is handed over twice."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from reelscope.atomic import write_atomic
from reelscope.description.chat import (
    BatchState,
    ChatAnswer,
    ChatBatches,
    ChatRequest,
    Message,
    Picture,
    Unanswered,
)
from reelscope.description.queue import BatchQueue, Part, Waiting, custom_id
from reelscope.engines.openai_chat import OpenAiChat
from reelscope.errors import OutputError, ServiceClosed, ServiceFailed
from reelscope.records import VideoSource
from reelscope.settings import Describe
from reelscope.testing import chat as fake
from reelscope.testing.chat import FakeChat

MakeQueue = Callable[..., BatchQueue]


def source(number: int, creator: str = "ana") -> VideoSource:
    return VideoSource(creator=creator, video_id=f"v{number}", frames_id=f"v{number}")


def request(number: int) -> ChatRequest:
    return ChatRequest(
        model="gpt-4o",
        messages=(Message("user", (f"What is video {number}?",)),),
        response_format="json_object",
        schema=None,
        max_output_tokens=100,
    )


@pytest.fixture
def client(server: FakeChat) -> Iterator[OpenAiChat]:
    assert server.key is not None
    settings = Describe(base_url=server.url, total_timeout_s=2)
    chat = OpenAiChat(settings, SecretStr(server.key), sleep=lambda seconds: None)
    yield chat
    chat.close()


@pytest.fixture
def make(client: OpenAiChat, tmp_path: Path) -> MakeQueue:
    """A queue as a new process would see it."""

    def queue(chat: ChatBatches = client, **limits: int) -> BatchQueue:
        return BatchQueue(tmp_path / "batch-1", chat, **limits)

    return queue


def let_wait(queue: BatchQueue, *numbers: int) -> None:
    """As the stage does: what waits already is not added again."""
    for number in numbers:
        if queue.waits_in(source(number), request(number)) is None:
            queue.add(source(number), request(number))


def sent(server: FakeChat) -> Counter[str]:
    """How often the server was given each request."""
    return Counter(r["custom_id"] for b in server.batches.values() for r in b.requests)


def ids(*numbers: int) -> dict[str, int]:
    """Each of these once."""
    return {custom_id(source(n), request(n).key): 1 for n in numbers}


class Answers:
    """What was delivered; `breaks_at` ends the process, as it were, at that delivery."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.came: list[tuple[Waiting, ChatAnswer]] = []
        self.breaks_at = breaks_at

    def __call__(self, asked: Waiting, answer: ChatAnswer) -> None:
        if len(self.came) == self.breaks_at:
            raise KeyboardInterrupt
        self.came.append((asked, answer))

    @property
    def videos(self) -> list[str]:
        return sorted(waiting.video_id for waiting, _ in self.came)


# ---- handing over -----------------------------------------------------------------------


def test_from_the_queue_to_the_answers(make: MakeQueue, server: FakeChat) -> None:
    queue = make()
    assert queue.waits_in(source(1), request(1)) is None
    assert not queue.to_hand_over
    let_wait(queue, 1, 2, 3)
    assert queue.waits_in(source(1), request(1)) == "the queue"
    assert queue.waits_in(source(1), request(9)) is None, "another question"
    assert queue.to_hand_over
    [part] = queue.submit()
    assert (part.status, part.batch_id, len(part.requests)) == ("waiting", "batch_1", 3)
    assert queue.waits_in(source(1), request(1)) == "batch_1"
    assert sent(server) == ids(1, 2, 3)
    assert [p.name for p in queue.folder.rglob("*.jsonl")] == [], "nothing is left to hand over"
    [line] = [r for r in server.batches["batch_1"].requests if "video 2" in json.dumps(r)]
    assert line["url"] == "/v1/chat/completions"
    assert line["body"]["model"] == "gpt-4o"

    early = Answers()
    [part] = queue.collect(early)
    assert (part.status, part.message) == ("waiting", "in_progress, 0 of 3")
    assert early.came == []
    server.finish_batches()
    [part] = (again := make()).collect(answers := Answers())
    assert (part.status, part.unanswered) == ("collected", {})
    assert answers.videos == ["v1", "v2", "v3"]
    assert again.waits_in(source(1), request(1)) is None
    assert make().collect(Answers(breaks_at=0)) == again.parts, "nothing is fetched twice"


def test_nothing_waits(make: MakeQueue, server: FakeChat) -> None:
    assert make().submit() == ()
    assert make().collect(Answers()) == ()
    assert server.paths == []
    assert not make().folder.exists()


@pytest.mark.parametrize(
    ("limits", "sizes"), [({"most_lines": 2}, [2, 2, 1]), ({"most_bytes": 1}, [1] * 5), ({}, [5])]
)
def test_no_file_holds_more_than_the_server_takes(
    make: MakeQueue, server: FakeChat, limits: dict[str, int], sizes: list[int]
) -> None:
    queue = make(**limits)
    let_wait(queue, *range(5))
    parts = queue.submit()
    assert [len(part.requests) for part in parts] == sizes
    assert len({part.label for part in parts}) == len({part.file for part in parts}) == len(sizes)
    assert sent(server) == ids(*range(5))
    server.finish_batches()
    make().collect(answers := Answers())
    assert answers.videos == ["v0", "v1", "v2", "v3", "v4"]


def test_a_file_is_as_full_as_the_limit_allows(make: MakeQueue) -> None:
    let_wait(make(), 1, 2, 3)
    sizes = [path.stat().st_size for path in (make().folder / "queue").iterdir()]
    assert [len(p.requests) for p in make(most_bytes=sum(sizes[:2])).submit()] == [2, 1]


def test_two_videos_with_the_same_bytes_are_two_requests(make: MakeQueue, server: FakeChat) -> None:
    queue = make()
    for video in (source(1), source(2), source(1, creator="bea")):
        queue.add(video, request(7))
    queue.submit()
    assert len(sent(server)) == 3
    server.finish_batches()
    queue.collect(answers := Answers())
    assert [(w.creator, w.video_id) for w, _ in sorted(answers.came, key=lambda a: str(a[0]))]
    assert {(w.creator, w.video_id) for w, _ in answers.came} == {
        ("ana", "v1"), ("ana", "v2"), ("bea", "v1"),
    }  # fmt: skip


def test_pictures_are_handed_over_and_no_file_of_the_queue_holds_the_key(
    make: MakeQueue, server: FakeChat
) -> None:
    queue = make()
    picture = Picture("f.jpg", b"\xff\xd8 a picture", 10, 10, "low")
    asked = ChatRequest("gpt-4o", (Message("user", ("Look", picture)),), "text", None, 100)
    queue.add(source(1), asked)
    [waits] = (queue.folder / "queue").iterdir()
    assert str(server.key) not in waits.read_text(encoding="utf-8")
    queue.submit()
    assert "data:image/jpeg;base64," in json.dumps(server.batches["batch_1"].requests)
    left = [path.read_text(encoding="utf-8") for path in queue.folder.rglob("*.json")]
    assert len(left) == 1
    assert str(server.key) not in left[0]
    assert "base64" not in left[0]


# ---- killed in between ------------------------------------------------------------------


class KilledAt:
    """A server's client whose caller is killed around one of its calls."""

    def __init__(self, chat: ChatBatches, moment: str) -> None:
        self._chat = chat
        self._moment = moment

    def _at(self, moment: str) -> None:
        if moment == self._moment:
            raise KeyboardInterrupt

    def line(self, custom_id: str, request: ChatRequest) -> bytes:
        return self._chat.line(custom_id, request)

    def submit(self, path: Path, *, label: str) -> str:
        self._at("before submit")
        made = self._chat.submit(path, label=label)
        self._at("after submit")
        return made

    def find(self, label: str) -> str | None:
        self._at("before find")
        return self._chat.find(label)

    def state(self, batch_id: str) -> BatchState:
        self._at("before state")
        return self._chat.state(batch_id)

    def answers(self, batch_id: str) -> Iterator[tuple[str, ChatAnswer | Unanswered]]:
        self._at("before answers")
        yield from self._chat.answers(batch_id)
        self._at("after answers")


@pytest.mark.parametrize("moment", ["before find", "before submit", "after submit"])
def test_a_kill_while_handing_over_submits_nothing_twice(
    make: MakeQueue, client: OpenAiChat, server: FakeChat, moment: str
) -> None:
    killed = make(KilledAt(client, moment), most_lines=2)
    let_wait(killed, 1, 2, 3)
    with pytest.raises(KeyboardInterrupt):
        killed.submit()
    assert len(server.batches) == (moment == "after submit")

    queue = make(most_lines=2)
    where = queue.waits_in(source(1), request(1))
    assert where == "a file that is being handed over"
    assert queue.to_hand_over
    let_wait(queue, 1, 2, 3, 4)
    queue.submit()
    assert sent(server) == ids(1, 2, 3, 4)
    assert {part.status for part in queue.parts} == {"waiting"}
    assert not queue.to_hand_over


@pytest.mark.parametrize("moment", ["before state", "before answers", "after answers"])
def test_a_kill_while_fetching_loses_no_answer(
    make: MakeQueue, client: OpenAiChat, server: FakeChat, moment: str
) -> None:
    queue = make(KilledAt(client, moment))
    let_wait(queue, 1, 2)
    queue.submit()
    server.finish_batches()
    with pytest.raises(KeyboardInterrupt):
        queue.collect(Answers())
    make().collect(answers := Answers())
    assert answers.videos == ["v1", "v2"]
    assert server.answered == 2


def test_a_kill_between_two_answers_gives_both_again(make: MakeQueue, server: FakeChat) -> None:
    let_wait(make(), 1, 2)
    make().submit()
    server.finish_batches()
    first, second = Answers(breaks_at=1), Answers()
    with pytest.raises(KeyboardInterrupt):
        make().collect(first)
    assert len(first.came) == 1
    make().collect(second)
    assert second.videos == ["v1", "v2"]


KILLED_AT_EVERY_STEP = """
import os, sys
from pathlib import Path
from pydantic import SecretStr
from reelscope.atomic import write_atomic
from reelscope.description.queue import BatchQueue
from reelscope.engines.openai_chat import OpenAiChat
from reelscope.settings import Describe
import openai, tenacity, json

sys.path.insert(0, {here!r})
from test_queue import let_wait

KILLED = 9
STEPS = ("open", "os.rename", "os.remove", "socket.connect")


def work(root, step):
    chat = OpenAiChat(Describe(base_url={url!r}), SecretStr({key!r}))
    queue = BatchQueue(root, chat, most_lines=2)
    if step == "submit":
        let_wait(queue, *range(5))
        queue.submit()
    else:
        queue.collect(lambda asked, answer: write_atomic(root / "answers" / asked.video_id, "!"))


def child(root, step, kill_at):
    \"\"\"Do the step in a process of its own, which ends before the n-th thing it does.\"\"\"
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seen = 0

    def hook(event, args):
        nonlocal seen
        if event in STEPS and (event == "socket.connect" or str(root) in str(args)):
            seen += 1
            if seen == kill_at:
                os._exit(KILLED)

    sys.addaudithook(hook)
    work(root, step)
    os._exit(0)


for step in ("submit", "collect"):
    for kill_at in range(1, 1000):
        root = Path({root!r}) / f"{{step}}-{{kill_at}}"
        if step == "collect":
            child(root, "submit", 0)
            print("finish", root.name, flush=True)
            input()
        killed = child(root, step, kill_at) == KILLED
        child(root, step, 0)
        print("check", root.name, int(killed), flush=True)
        input()
        if not killed:
            break
"""
"""An audit hook is told of each file that is opened, renamed or removed: nothing is patched."""


@pytest.mark.slow
def test_killed_before_anything_it_does_each_request_is_submitted_once(
    server: FakeChat, tmp_path: Path
) -> None:
    script = KILLED_AT_EVERY_STEP.format(
        here=str(Path(__file__).parent), url=server.url, key=server.key, root=str(tmp_path)
    )
    moments = Counter[str]()
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        for told in process.stdout:
            what, name, *killed = told.split()
            step = name.partition("-")[0]
            if what == "finish":
                server.finish_batches()
            else:
                moments[step] += int(killed[0])
                assert sent(server) == ids(*range(5)), name
                parts = BatchQueue(tmp_path / name, _nobody()).parts
                assert {p.status for p in parts} == {"waiting" if step == "submit" else "collected"}
                left = {path.name for path in (tmp_path / name / "describe").rglob("*")}
                assert left == {"queue", "batches.json"}
                if step == "collect":
                    answers = {path.name for path in (tmp_path / name / "answers").glob("v*")}
                    assert answers == {f"v{n}" for n in range(5)}
                server.batches.clear()
                server.files.clear()
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0
    assert moments["submit"] > 30
    assert moments["collect"] > 15


def _nobody() -> OpenAiChat:
    return OpenAiChat(Describe(base_url="http://127.0.0.1:9/v1"), None)


def test_a_kill_before_the_queue_is_cleared_hands_nothing_over_twice(
    make: MakeQueue, server: FakeChat
) -> None:
    let_wait(make(), 1, 2)
    lines = {path: path.read_bytes() for path in (make().folder / "queue").iterdir()}
    make().submit()
    for path, line in lines.items():  # as after a kill between batches.json and the removal
        path.write_bytes(line)
    queue = make()
    assert queue.submit() == ()
    assert sent(server) == ids(1, 2)
    assert not list(queue.folder.rglob("*.jsonl"))


# ---- what goes wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"parts": 3}',
        b'{"parts": [{"label": "a"}]}',
        b'{"parts": [{"label": "a", "file": "../../creators.csv", "requests": []}]}',
        b'{"schema_version": 1, "parts": [], "more": 1}',
        b"[" * 100_000,
        b'{"parts": ["' + b"x" * 10_000_000 + b'"]}',
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_damaged_list_of_batches_is_said_and_nothing_is_guessed(
    make: MakeQueue, server: FakeChat, content: bytes
) -> None:
    let_wait(make(), 1)
    make().submit()
    path = make().folder / "batches.json"
    path.write_bytes(content)
    for use in (
        lambda: make().parts,
        lambda: make().waits_in(source(2), request(2)),
        lambda: make().submit(),
        lambda: make().collect(Answers()),
        lambda: make().to_hand_over,
    ):
        with pytest.raises(OutputError, match=r"batches\.json") as caught:
            use()
        assert len(str(caught.value)) < 2000
    assert path.read_bytes() == content
    assert sent(server) == ids(1)


def test_a_list_of_batches_that_is_a_folder_is_said(make: MakeQueue) -> None:
    (make().folder / "batches.json").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"batches\.json"):
        make().submit()


@pytest.mark.parametrize("damage", [b"", b"no json\n{}\n", b'{"custom_id": "x"}\n'])
def test_a_damaged_line_of_the_queue_is_left_out_and_can_be_asked_anew(
    make: MakeQueue, server: FakeChat, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    let_wait(make(), 1, 2)
    name = custom_id(source(1), request(1).key)
    line = make().folder / "queue" / f"{name}.jsonl"
    whole = line.read_bytes()
    line.write_bytes(damage or whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        make().submit()
    assert "damaged" in caplog.text
    assert sent(server) == ids(2)
    let_wait(make(), 1, 2)
    make().submit()
    assert sent(server) == ids(1, 2)


def test_a_queue_of_nothing_but_damage_is_not_handed_over(
    make: MakeQueue, server: FakeChat
) -> None:
    write_atomic(make().folder / "queue" / "x.jsonl", "?")
    assert make().submit() == ()
    assert not list(make().folder.rglob("*.jsonl"))
    assert make().parts == ()
    assert server.paths == []


def test_a_file_that_is_gone_before_it_was_handed_over_can_be_asked_anew(
    make: MakeQueue, client: OpenAiChat, server: FakeChat
) -> None:
    queue = make(KilledAt(client, "before submit"))
    let_wait(queue, 1)
    with pytest.raises(KeyboardInterrupt):
        queue.submit()
    (queue.folder / queue.parts[0].file).unlink()
    [part] = make().submit()
    assert (part.status, part.batch_id) == ("lost", None)
    assert "is gone" in part.message
    let_wait(make(), 1)
    make().submit()
    assert sent(server) == ids(1)


def test_a_server_that_does_not_take_it_loses_nothing(make: MakeQueue, server: FakeChat) -> None:
    let_wait(make(), 1, 2)
    for behaviour, error in (
        (fake.unauthorized(), ServiceClosed),
        (fake.quota(), ServiceClosed),
        (fake.failing(500), ServiceFailed),
    ):
        server.batch_script = [behaviour] * 200
        with pytest.raises(error):
            make().submit()
    assert server.batches == {}
    server.batch_script = []
    make().submit()
    assert sent(server) == ids(1, 2)


def test_a_lost_batch_can_be_asked_anew(make: MakeQueue, server: FakeChat) -> None:
    let_wait(make(), 1, 2)
    make().submit()
    server.fail_batches("line 1 is wrong")
    [part] = make().collect(Answers(breaks_at=0))
    assert part.status == "lost"
    assert "line 1 is wrong" in part.message
    assert make().waits_in(source(1), request(1)) is None
    let_wait(make(), 1, 2)
    [anew] = make().submit()
    assert anew.batch_id == "batch_2"
    assert anew.label != part.label, "or the lost batch would be found in its stead"
    server.finish_batches()
    make().collect(answers := Answers())
    assert answers.videos == ["v1", "v2"]


def test_lines_without_an_answer_are_noted_with_the_reason(
    make: MakeQueue, server: FakeChat
) -> None:
    let_wait(make(), 1, 2, 3)
    make().submit()
    one, two, three = ids(1, 2, 3)
    server.finish_batches(
        behaviours={one: fake.failing(500, "it fell over"), two: fake.no_choices()}
    )
    [part] = make().collect(answers := Answers())
    assert answers.videos == ["v3"]
    assert part.unanswered.keys() == {one, two}
    assert "it fell over" in part.unanswered[one]
    assert part.unanswered[two]
    assert make().waits_in(source(1), request(1)) is None, "it can be asked anew"
    assert three not in part.unanswered


def test_what_an_expired_batch_answered_in_time_counts(make: MakeQueue, server: FakeChat) -> None:
    let_wait(make(), 1, 2)
    make().submit()
    one, _ = ids(1, 2)
    server.finish_batches("expired", expire={one})
    [part] = make().collect(answers := Answers())
    assert part.status == "collected"
    assert answers.videos == ["v2"]
    assert "expired" in part.unanswered[one]


def test_a_line_that_is_in_no_file_of_results_is_unanswered(
    make: MakeQueue, server: FakeChat
) -> None:
    let_wait(make(), 1, 2)
    make().submit()
    server.finish_batches()
    name, purpose, results = server.files["file-2"]
    server.files["file-2"] = (name, purpose, results.splitlines(keepends=True)[0])
    [part] = make().collect(answers := Answers())
    assert len(answers.came) == 1
    assert list(part.unanswered.values()) == ["no answer in the batch (completed)"]


def test_answers_that_nobody_asked_for_are_not_delivered(
    make: MakeQueue, server: FakeChat, caplog: pytest.LogCaptureFixture
) -> None:
    let_wait(make(), 1)
    make().submit()
    server.finish_batches()
    name, purpose, results = server.files["file-2"]
    stranger = results.replace(*(text.encode() for text in (next(iter(ids(1))), "../../evil")))
    server.files["file-2"] = (name, purpose, stranger + b"not json\n\n[]\n" + results + results)
    with caplog.at_level(logging.WARNING):
        [part] = make().collect(answers := Answers())
    assert set(answers.videos) == {"v1"}
    assert part.unanswered == {}
    assert "../../evil" in caplog.text


def test_results_that_the_server_has_deleted_do_not_stand_in_the_way_of_others(
    make: MakeQueue, server: FakeChat
) -> None:
    let_wait(make(), 1, 2)
    make(most_lines=1).submit()
    server.finish_batches()
    gone, there = (part.requests[0] for part in make().parts)
    del server.files[server.batches["batch_1"].fields["output_file_id"]]
    first, second = make().collect(answers := Answers())
    assert [w for w, _ in answers.came] == [there]
    assert (first.status, second.status) == ("collected", "collected")
    assert "no more" in first.message
    assert list(first.unanswered) == [gone.custom_id]


def test_a_batch_that_the_server_does_not_know_is_lost(make: MakeQueue, server: FakeChat) -> None:
    let_wait(make(), 1)
    make().submit()
    server.batches.clear()
    [part] = make().collect(Answers())
    assert part.status == "lost"


def test_a_server_in_trouble_while_fetching_leaves_the_rest_for_later(
    make: MakeQueue, server: FakeChat
) -> None:
    let_wait(make(), 1, 2)
    make(most_lines=1).submit()
    server.finish_batches()
    # the first batch's state, its results' place and the results; then nothing
    server.batch_script = [fake.good()] * 3 + [fake.unauthorized()]
    with pytest.raises(ServiceClosed):
        make().collect(first := Answers())
    assert len(first.came) == 1
    assert [part.status for part in make().parts] == ["collected", "waiting"]
    make().collect(rest := Answers())
    assert sorted(first.videos + rest.videos) == ["v1", "v2"]


def test_any_answer_can_be_kept(make: MakeQueue, server: FakeChat) -> None:
    texts = ["\x00\x1b[31m", "\ud800 alone", "\N{PILE OF POO}" * 1000, ""]
    let_wait(make(), *range(len(texts)))
    make().submit()
    names = list(ids(*range(len(texts))))

    def saying(text: str) -> fake.Behaviour:
        return fake.Behaviour(rewrite=lambda _: text)

    server.finish_batches(behaviours={n: saying(t) for n, t in zip(names, texts, strict=True)})
    make().collect(answers := Answers())
    assert len(answers.came) == len(texts)
    for _, answer in answers.came:
        answer.text.encode("utf-8")


def test_the_batches_can_be_read_by_a_later_version_of_the_process(make: MakeQueue) -> None:
    let_wait(make(), 1)
    make().submit()
    data: Any = json.loads((make().folder / "batches.json").read_text(encoding="utf-8"))
    assert data["schema_version"] == 1
    assert [Part.model_validate(part) for part in data["parts"]] == list(make().parts)
    assert make().remedy == "python main.py describe collect --batch-id batch-1"
