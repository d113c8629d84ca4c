"""Whom a live session follows is chosen on its page: the real model and browser, two faces in view."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from enrapt.realtime import LiveSession
from enrapt.realtime.features.face import FaceOptions
from tests.support.browser import Page, chromium, webdriver
from tests.support.faces import head, scene

pytestmark = pytest.mark.live

CENTRES = {"left": 0.25, "right": 0.75}  # of the faces, shares of the picture's width


@pytest.fixture
def camera() -> Iterator[str]:
    """The address of a camera that two people look at; no two of its pictures are the same."""
    people = scene((head(), 200), (head(0.85, mirrored=True), 600))
    random = np.random.default_rng(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
            self.end_headers()
            try:
                while True:
                    noisy = people + random.integers(0, 4, people.shape, np.uint8)
                    data = cv2.imencode(".jpg", noisy[..., ::-1])[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")
                    time.sleep(0.1)
            except OSError:  # the session has left
                return

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/video"
        server.shutdown()


@pytest.mark.parametrize("people", [1, 2])
def test_a_click_on_a_face_and_a_key_change_the_person_who_is_followed(camera, face_model, people):
    faces = FaceOptions(face_model, person="left", people=people)
    session = LiveSession(camera, None, faces=faces, preview=True, to=["ui:0"], voice="none")
    places: dict[int, float] = {}  # of each person, while followed

    def see(estimate) -> None:
        if estimate.person == session.person and estimate.box is not None:
            places[estimate.person] = estimate.box[0] + estimate.box[2] / 2

    with chromium() as browser, session:
        session.start(see)
        page = Page(browser, session.page.address)
        page.until(lambda: len(page.data("#landmarks").get("people", "").split()) == 2 and places, 40)
        (one,) = places
        assert places[one] == pytest.approx(CENTRES["left"], abs=0.05)
        page.until(lambda: page.text("#who").startswith(f"person {one} · "), 20)
        landmarks = browser.find_element("css selector", "#landmarks")
        page.js("document.getElementById('landmarks').scrollIntoView({block: 'center'})")
        right = (CENTRES["right"] - 0.5) * landmarks.size["width"]
        click = webdriver.ActionChains(browser).move_to_element_with_offset(landmarks, round(right), 0)
        click.click().perform()
        page.until(lambda: len(places) == 2, 20)
        (other,) = places.keys() - {one}
        assert places[other] == pytest.approx(CENTRES["right"], abs=0.05)
        page.until(lambda: page.text("#who").startswith(f"person {other} · "), 20)
        page.key(str(one))
        page.until(lambda: session.person == one, 20)
