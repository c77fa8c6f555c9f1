"""The number of requests in flight, adapted to the server. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class AdaptiveLimit:
    """A limit on the requests in flight that adapts to the server.

    It doubles in each round while the latency stays low, until the server first refuses a request. From then
    on it grows by one in each round, and halves at every refusal.

    Attributes
    ----------
    most : int
        Highest value of the limit.
    comfort : float
        Latency in seconds below which the limit always grows.
    stretch : float
        The limit stops growing when the average latency is more than this many times the shortest one.
    value : float
        The limit now, at least 1.
    round : int
        Number of refusals that changed the limit. A refusal of a request of an earlier round has no effect.
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
            Only latencies of the same kind are compared, because long answers always take longer.
        """
        shortest = self._shortest[kind] = min(latency, self._shortest.get(kind, latency))
        usual = self._usual[kind] = 0.9 * self._usual.get(kind, latency) + 0.1 * latency
        # The limit grows only when it is reached.
        if in_flight + 1 < int(self.value):
            return
        if usual <= max(self.comfort, self.stretch * shortest):
            step = 1 / self.value if self._careful else 1.0
            self.value = min(float(self.most), self.value + step)

    def refused(self, sent_in: int) -> None:
        """Note that the busy server refused a request that was sent in round `sent_in`."""
        if sent_in == self.round:
            self.round += 1
            self.value = max(1.0, self.value / 2)
            self._careful = True

    def restart(self) -> None:
        """Start again with one request, after the engine died: so the request that killed it fails alone."""
        self.round += 1
        self.value = 1.0
        self._careful = False
        self._shortest.clear()
        self._usual.clear()
