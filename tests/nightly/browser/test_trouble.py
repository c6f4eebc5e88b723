"""A server that dies, is busy, or wants a token: it is told in words, and the page goes on when it can."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nightly.browser.serving import Server, free_port
from tests.nightly.browser.visits import Visit, noise

FAILED = "Failed to load resource"


def test_a_server_that_is_killed_in_the_middle_of_a_text_comes_back(browser: Any) -> None:
    with Server("nietzsche-rnn", port=free_port()) as server, Visit(browser, server.url) as visit:
        visit.forgiven.add(FAILED)
        page = visit.open()
        page.get_by_role("slider", name="Length").fill("2000")
        page.get_by_label("Prompt").fill("the will ")
        page.get_by_role("button", name="Generate").click()
        visit.until("document.querySelectorAll('.written .token').length > 10")
        server.kill()
        problem = page.locator(".sampling form + .problem")
        problem.get_by_role("strong").wait_for()
        assert "server does not respond" in problem.inner_text()
        assert 10 < page.locator(".written .token").count() < 2000  # what came stays
        assert page.get_by_label("Prompt").input_value() == "the will "
        problem.get_by_role("button", name="Try again").click()  # it is still down
        problem.get_by_role("strong").wait_for()
        server.start()
        problem.get_by_role("button", name="Try again").click()
        page.locator('.written[aria-busy="false"]').wait_for()
        assert page.locator(".written .token").count() == 2000
        assert problem.text_content() == ""
        visit.check()


@pytest.mark.slow
def test_a_page_that_finds_no_server_tries_again(visit: Visit) -> None:
    visit.forgiven.add(FAILED)
    visit.page.route("**/models", lambda route: route.abort("connectionrefused"))
    page = visit.open("nietzsche-rnn")
    assert "The server does not respond." in page.get_by_role("alert").first.inner_text()
    page.unroute("**/models")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="nietzsche-rnn").wait_for()
    assert page.locator("#problem").text_content() == ""


def fail_once(visit: Visit, path: str, **answer: Any) -> None:
    visit.forgiven.add(FAILED)
    visit.page.route(path, lambda route: route.fulfill(**answer), times=1)


def test_a_server_that_is_busy_says_when_to_come_back(visit: Visit) -> None:
    page = visit.open("cifar10-resnet20")
    busy: Any = {"error": {"message": "the server is busy: 3 requests are being served", "hint": None}}
    fail_once(visit, "**/predict", status=503, headers={"Retry-After": "7"}, json=busy)
    visit.give(("cat.png", noise()))
    problem = page.locator(".images > .problem")
    problem.get_by_role("strong").wait_for()
    assert problem.inner_text().startswith("The server is busy: 3 requests are being served.")
    assert "Try again in 7 s." in problem.inner_text()
    problem.get_by_role("button", name="Try again").click()
    page.locator(".heat canvas").wait_for()
    assert problem.text_content() == ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 500, "body": "<b>oh</b>"}, "The server responded with status 500."),
        (
            {"status": 413, "json": {"error": {"message": "the file is too large", "hint": "at most 5 MB"}}},
            "At most 5 MB.",
        ),
    ],
)
def test_other_errors_are_told(visit: Visit, answer: Any, said: str) -> None:
    page = visit.open("cifar10-resnet20")
    fail_once(visit, "**/analyze", **answer)
    visit.give(("cat.png", noise()))
    problem = page.locator(".inside .problem")
    problem.get_by_role("strong").wait_for()
    assert said in problem.inner_text()
    assert page.locator(".bars").is_visible()


def guard(visit: Visit, token: str) -> list[str]:
    """Let the API ask for a token; return what the requests to it carried."""
    carried: list[str] = []

    def check(route: Any) -> None:
        given = route.request.headers.get("authorization", "")
        carried.append(given)
        wrong: Any = {"error": {"message": "a token is needed", "hint": None}}
        route.continue_() if given == f"Bearer {token}" else route.fulfill(status=401, json=wrong)

    visit.forgiven.add(FAILED)
    for path in ("models", "predict", "sample", "analyze"):
        visit.page.route(f"{visit.url}/{path}", check)
    return carried


def test_a_token_is_asked_for_and_kept(visit: Visit) -> None:
    carried = guard(visit, "sesame")
    page = visit.open("nietzsche-rnn")
    field = page.get_by_label("Token printed by")
    for token in ("wrong", "sesame"):
        field.fill(token)
        page.get_by_role("button", name="Use token").click()
        page.wait_for_timeout(100)
    page.get_by_role("heading", name="nietzsche-rnn").wait_for()
    page.get_by_role("button", name="Generate").click()
    page.locator('.written[aria-busy="false"] .token').first.wait_for()
    page.reload()
    page.get_by_role("heading", name="nietzsche-rnn").wait_for()
    assert carried == ["", "Bearer wrong", *["Bearer sesame"] * 3]


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("/?token=se+same", "/"),
        ("/#token=se%20same", "/"),
        ("/#nietzsche-rnn&token=se%20same", "/#nietzsche-rnn"),
    ],
)
def test_a_token_in_the_address_is_used_and_removed(visit: Visit, address: str, left: str) -> None:
    carried = guard(visit, "se same")
    visit.page.goto(visit.url + address)
    visit.page.locator("nav a").first.wait_for()
    assert carried == ["Bearer se same"]
    assert visit.page.url == visit.url + left


def test_a_token_that_comes_into_an_open_page_is_used(visit: Visit) -> None:
    carried = guard(visit, "sesame")
    page = visit.open()
    page.evaluate("location.hash = 'nietzsche-rnn&token=sesame'")
    page.get_by_role("heading", name="nietzsche-rnn").wait_for()
    assert (carried, page.url) == (["", "Bearer sesame"], f"{visit.url}/#nietzsche-rnn")


def test_a_server_that_restarts_with_another_token_is_told_beside_the_form(visit: Visit) -> None:
    page = visit.open("nietzsche-rnn")
    carried = guard(visit, "new")
    page.get_by_role("button", name="Generate").click()
    page.locator(".sampling form + .problem").get_by_label("Token printed by").fill("new")
    page.get_by_role("button", name="Use token").click()
    page.locator('.written[aria-busy="false"] .token').first.wait_for()
    assert carried == ["", "Bearer new"]
