"""Makes a picture with nothing but `requests`:

NANOBANANA_API_KEY=nb_test_… python3 main.py "a banana astronaut" banana.jpg
"""

import os
import sys
import time
import uuid

import requests

URL = os.environ.get("NANOBANANA_BASE_URL", "http://127.0.0.1:3000")
ATTEMPTS = 5

session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['NANOBANANA_API_KEY']}"


def call(method, path, **more):
    """Repeats what is worth repeating: every error says whether it is, and when."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            # Longer than the 90 s after which the service answers 202.
            answer = session.request(method, URL + path, timeout=120, **more)
        except requests.ConnectionError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(2**attempt)
            continue
        if answer.ok:
            return answer
        if answer.headers.get("x-should-retry") != "true" or attempt == ATTEMPTS:
            error = answer.json()["error"]
            sys.exit(f"{error['code']}: {error['message']} ({error['request_id']})")
        time.sleep(float(answer.headers.get("Retry-After", 2**attempt)))


prompt = sys.argv[1] if len(sys.argv) > 1 else "a banana astronaut"
file = sys.argv[2] if len(sys.argv) > 2 else "banana.jpg"

# The same key in all attempts: one picture is made and paid for, whatever the network does.
answer = call(
    "POST",
    "/v1/generate",
    json={"prompt": prompt, "output_format": "jpeg"},
    headers={"Idempotency-Key": str(uuid.uuid4())},
)
generation = answer.json()

# What takes longer than the service waits is answered 202 and goes on.
while generation["status"] in ("queued", "running"):
    time.sleep(float(answer.headers.get("Retry-After", 2)))
    answer = call("GET", f"/v1/generations/{generation['id']}")
    generation = answer.json()
if generation["status"] != "succeeded":
    sys.exit(f"{generation['status']}: {generation['error']}")

image = generation["images"][0]
with open(file, "wb") as output:
    output.write(call("GET", f"/v1/images/{image['id']}/content").content)
print(f"{file}: {image['width']}x{image['height']}, {generation['usage']['cost_usd']} USD")
