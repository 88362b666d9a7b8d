"""The incident in half a minute: ``python -m tests.deploy.observe.short``, otherwise ``python -m deploy.observe``.

No rule's time is shortened, so nothing gets to fire: what should is pending. Updates come after two seconds, not sixty.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

from deploy.observe.__main__ import main
from deploy.observe.script import Script, Step
from deploy.observe.timeline import Expected

AWAY, BACK = "the model goes away", "the model is back"
KILLED, STARTED = "worker-1 is killed", "worker-1 is started again"

SHORT = Script(
    (
        Step("calm", 0, "calm", "nothing", "no alert"),
        Step("poison", 1, "a poison event", "poison", "no alert"),
        Step("broken", 1, "a publisher breaks its format", "broken format", "DeadLettersRise is pending"),
        Step(
            AWAY,
            10,
            "the model goes away",
            "model away",
            "ModelDown is pending",
            (Expected("PrefstreamModelDown", AWAY, 25, BACK, 60, "pending"),),
        ),
        Step(
            KILLED,
            11,
            "worker-1 is killed",
            "kill",
            "WorkerDown is pending",
            (Expected("PrefstreamWorkerDown", KILLED, 25, STARTED, 90, "pending"),),
        ),
        Step(BACK, 20, "the model is back", "model back", "it clears"),
        Step(STARTED, 20, "worker-1 is started again", "start again", "it clears"),
    ),
    seconds=32,
    flush_age_seconds=2,
    scrape_seconds=2,
)

if __name__ == "__main__":
    with patch("deploy.observe.story.SCRIPT", SHORT):
        sys.exit(main())
