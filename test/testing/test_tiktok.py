"""The fake TikTok, asked by an ordinary client: what it demands, and its moods."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from reelscope.testing.tiktok import ITEM_PATH, LIST_PATH, USER_PATH, FakeTikTok, serve
from reelscope.testing.tiktok_items import item, sec_uid

HOST = "https://www.tiktok.com"
SIGNED = {"X-Bogus": "x", "msToken": "good"}


@pytest.fixture
def site() -> Iterator[FakeTikTok]:
    site = FakeTikTok(tokens={"good"}, media={"/v/1.mp4": bytes(range(200))})
    site.add_creator("anna", [item(str(7_000_000 - n)) for n in range(105)])
    with serve(site):
        yield site


@pytest.fixture
def client(site: FakeTikTok) -> Iterator[httpx.Client]:
    """One that verifies certificates and goes through the proxy."""
    context = site.client_context
    with httpx.Client(proxy=site.proxy_url, verify=context, trust_env=False) as client:
        yield client


def test_all_hosts_lead_here_with_a_certificate_that_holds(
    site: FakeTikTok, client: httpx.Client
) -> None:
    for host in ("www.tiktok.com", "v16-webapp-prime.tiktok.com", "p16-sign-va.tiktokcdn.com"):
        assert client.get(f"https://{host}/v/1.mp4").content == site.media["/v/1.mp4"]
    with pytest.raises(httpx.ConnectError, match="certificate"):
        client.get("https://elsewhere.example/")
    with (
        httpx.Client(proxy=site.proxy_url, trust_env=False) as stranger,
        pytest.raises(httpx.ConnectError, match="self-signed"),
    ):
        stranger.get(HOST)


def test_who_does_not_sign_or_has_no_good_token_gets_nothing(
    site: FakeTikTok, client: httpx.Client
) -> None:
    url = f"{HOST}{USER_PATH}"
    for query in ({}, {"X-Bogus": "x"}, {"msToken": "good"}, {**SIGNED, "msToken": "old"}):
        answer = client.get(url, params={**query, "uniqueId": "anna"})
        assert (answer.status_code, answer.content) == (200, b"")
    answer = client.get(url, params={**SIGNED, "uniqueId": "anna"})
    assert answer.json()["userInfo"]["user"]["secUid"] == sec_uid("anna")
    stale = {"Cookie": "msToken=old"}
    answer = client.get(url, params={**SIGNED, "uniqueId": "anna"}, headers=stale)
    assert answer.content == b""


def test_the_list_comes_in_three_pages(site: FakeTikTok, client: httpx.Client) -> None:
    found, cursor = [], "0"
    while cursor:
        query = {**SIGNED, "secUid": sec_uid("anna"), "cursor": cursor, "count": "35"}
        page = client.get(f"{HOST}{LIST_PATH}", params=query).json()
        found += [post["id"] for post in page["itemList"]]
        cursor = page["cursor"] if page["hasMore"] else ""
    assert found == [str(7_000_000 - n) for n in range(105)]
    assert site.counts()[LIST_PATH] == 3


def test_accounts_and_posts_that_are_not_there(site: FakeTikTok, client: httpx.Client) -> None:
    site.add_creator("shy", [item("1")], kind="private")
    ask = f"{HOST}{USER_PATH}"
    shy = client.get(ask, params={**SIGNED, "uniqueId": "shy"}).json()
    assert shy["statusCode"] == 10222
    assert client.get(ask, params={**SIGNED, "uniqueId": "nobody"}).json()["userInfo"] == {}
    query = {**SIGNED, "secUid": sec_uid("shy")}
    assert "itemList" not in client.get(f"{HOST}{LIST_PATH}", params=query).json()
    post = client.get(f"{HOST}{ITEM_PATH}", params={**SIGNED, "itemId": "999"}).json()
    assert post["statusCode"] == 10204


def test_faults_come_in_order_and_then_all_is_well(site: FakeTikTok, client: httpx.Client) -> None:
    site.faults["/"] = ["429", "captcha", "503", "drop"]
    site.retry_after_s = 7
    first = client.get(HOST)
    assert (first.status_code, first.headers["retry-after"]) == (429, "7")
    assert "captcha" in client.get(HOST).text
    assert client.get(HOST).status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(HOST)
    assert "byted_acrawler" in client.get(HOST).text
    assert site.counts()["/"] == 5


def test_files_are_cut_and_gone_on_with(site: FakeTikTok, client: httpx.Client) -> None:
    url = "https://v16-webapp-prime.tiktok.com/v/1.mp4?expire=1"
    site.faults["/v/1.mp4"] = ["cut", "403"]
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(url)
    assert client.get(url).status_code == 403
    rest = client.get(url, headers={"Range": "bytes=100-"})
    assert (rest.status_code, rest.content) == (206, bytes(range(100, 200)))
    assert rest.headers["content-range"] == "bytes 100-199/200"
    assert site.media_asked() == {"/v/1.mp4": 3}


def test_a_video_s_page_carries_its_post(site: FakeTikTok, client: httpx.Client) -> None:
    text = client.get(f"{HOST}/@anna/video/7000000").text
    start = text.index('application/json">') + len('application/json">')
    data = json.loads(text[start : text.index("</script>", start)])
    detail = data["__DEFAULT_SCOPE__"]["webapp.video-detail"]
    assert detail["itemInfo"]["itemStruct"]["id"] == "7000000"
