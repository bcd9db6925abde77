"""Sends pictures, and what is called urgent, to the smallest model that can take them. `fail` fails."""

from wit_world import exports
from wit_world.exports.lifecycle import Manifest
from wit_world.exports.request_hook import Verdict_Pass, Verdict_Route
from wit_world.imports import log, models
from wit_world.imports.types import Afterwards, Candidate, Hold, Route, Swap


class Lifecycle(exports.Lifecycle):
    def describe(self):
        description = "Sends pictures and urgent matters to the smallest model for them."
        return Manifest("policy", "1.0.0", description, 10, None, False, [])

    def configure(self, settings):
        pass


class RequestHook(exports.RequestHook):
    def on_request(self, turn):
        if turn.user_text == "fail":
            raise ValueError(f"cannot make sense of {turn.request_id}")
        picture = "image" in turn.media
        if not picture and not turn.user_text.startswith("urgent"):
            return Verdict_Pass()
        suits = [it for it in models.all() if it.kind == "language" and (not picture or "image" in it.inputs)]
        if not suits:
            return Verdict_Pass()
        model = min(suits, key=lambda it: it.size_mib)
        kind = "picture" if picture else "urgent"
        log.write(log.Level.INFO, f"{kind}: {model.id} is the smallest of {len(suits)}")
        candidates = [Candidate(model.id, None, None, None, [])]
        reason = f"python: {kind}"
        return Verdict_Route(Route(candidates, Swap.WAIT, Hold.TURN, Afterwards.RESTORE, None, reason, []))
