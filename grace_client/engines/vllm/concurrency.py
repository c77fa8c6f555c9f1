"""How many requests to have in flight: learned from how the server takes them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class AdaptiveLimit:
    """A bound on the requests in flight that follows what the server can take.

    It doubles per round while latency holds, until the server first refuses a request; from then on it
    grows by one per round and halves at every refusal.

    Attributes
    ----------
    most : int
        Never more than this.
    comfort : float
        A latency below this, in seconds, never keeps the limit from growing.
    stretch : float
        How many times the shortest latency the usual one may be before the limit stops growing.
    value : float
        The limit now, at least 1.
    round : int
        Counts the refusals that were heeded. Requests sent before the last one say nothing new.
    """

    most: int
    comfort: float = 2.0
    stretch: float = 4.0
    value: float = 8.0
    round: int = 0
    _careful: bool = False
    _shortest: dict[int, float] = field(default_factory=dict)
    _usual: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.value = min(self.value, float(self.most))

    def answered(self, latency: float, in_flight: int, kind: int = 1) -> None:
        """Note an answer.

        Parameters
        ----------
        latency : float
            Time from sending the request to its answer, in seconds.
        in_flight : int
            How many requests were in flight when it was sent.
        kind : int
            Only latencies of one kind are compared: a long answer takes longer whatever the server does.
        """
        shortest = self._shortest[kind] = min(latency, self._shortest.get(kind, latency))
        usual = self._usual[kind] = 0.9 * self._usual.get(kind, latency) + 0.1 * latency
        # A limit that is not reached has not been tested.
        if in_flight + 1 < int(self.value):
            return
        if usual <= max(self.comfort, self.stretch * shortest):
            step = 1 / self.value if self._careful else 1.0
            self.value = min(float(self.most), self.value + step)

    def refused(self, sent_in: int) -> None:
        """Note that the server refused a request for being busy, sent in round `sent_in`."""
        if sent_in == self.round:
            self.round += 1
            self.value = max(1.0, self.value / 2)
            self._careful = True

    def restart(self) -> None:
        """Begin anew with one request: after the engine died, so that what killed it is found alone."""
        self.round += 1
        self.value = 1.0
        self._careful = False
        self._shortest.clear()
        self._usual.clear()
