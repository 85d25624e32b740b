"""When an answer has gone on for too long, in tokens or in time, and is ended from here. Pure."""

from dataclasses import dataclass

from services.router.answers.leg import Leg

_CHARACTERS_PER_PIECE = 3
"""Some servers send single characters: a piece is a token only where it has as many characters as one."""
_SLACK_TOKENS = 64
_LONGEST_TOKEN = 128
_SLACK_CHARACTERS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one attempt: how many choices, `tokens` over all of them (None: no bound), and nanoseconds since the epoch."""

    choices: int
    tokens: int | None
    until_ns: int

    def are_passed(self, leg: Leg, now_ns: int) -> bool:
        """Whether the provider ignores the bound that it was given: twice of it, and 64 tokens, have come; or time is up.

        A provider counts otherwise than we do, so that a token more is no reason to cut an answer.
        """
        if len(leg.finished) >= self.choices:
            return False
        return now_ns >= self.until_ns or (self.tokens is not None and _has_beyond(leg, self.tokens))


def _has_beyond(leg: Leg, tokens: int) -> bool:
    most = 2 * tokens + _SLACK_TOKENS
    if leg.pieces > most and leg.characters > _CHARACTERS_PER_PIECE * most:
        return True
    return leg.characters > _LONGEST_TOKEN * most + _SLACK_CHARACTERS
