"""Whose turn it is: deficit round robin over tenants, in tokens, and over the keys of each tenant in turn.

Source: Shreedhar and Varghese 1995, "Efficient Fair Queueing Using Deficit Round Robin"; as the cost of an answer
is known only when it is there, a tenant is charged as its tokens stream and may so fall into debt (Sheng et al.
2024, "Fairness in Serving Large Language Models"). Live requests come before those of batches.
"""

from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

QUANTUM: Final = 256.0  # tokens a round

T = TypeVar("T")


class _Tenant(Generic[T]):
    def __init__(self) -> None:
        self.deficit = 0.0
        self.running = 0
        self.waiting = 0
        self.keys: OrderedDict[str, deque[T]] = OrderedDict()

    def pop(self) -> T:
        """The oldest of the next key, which then comes last."""
        key, queue = next(iter(self.keys.items()))
        turn = queue.popleft()
        self.waiting -= 1
        if queue:
            self.keys.move_to_end(key)
        else:
            del self.keys[key]
        return turn

    def peek(self) -> T:
        return next(iter(self.keys.values()))[0]


class FairQueue(Generic[T]):
    """Turns of one priority. `charge` may be told of tenants at any time."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, _Tenant[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(tenant.waiting for tenant in self._tenants.values())

    def waiting(self, tenant: str) -> int:
        known = self._tenants.get(tenant)
        return 0 if known is None else known.waiting

    @property
    def tenants(self) -> int:
        """How many have something waiting or running."""
        return sum(1 for t in self._tenants.values() if t.waiting or t.running)

    def push(self, tenant: str, key: str, turn: T) -> None:
        known = self._tenants.get(tenant)
        if known is None:
            known = self._tenants[tenant] = _Tenant()
        known.keys.setdefault(key, deque()).append(turn)
        known.waiting += 1

    def remove(self, tenant: str, key: str, turn: T) -> None:
        """Of one that waits no longer; nothing where it is not there."""
        known = self._tenants.get(tenant)
        queue = known.keys.get(key) if known is not None else None
        if known is None or queue is None or turn not in queue:
            return
        queue.remove(turn)
        known.waiting -= 1
        if not queue:
            del known.keys[key]
        self._forget(tenant)

    def peek(self) -> T | None:
        """Whose turn is next, without taking it."""
        tenant = self._next()
        return None if tenant is None else self._tenants[tenant].peek()

    def pop(self) -> T:
        """Take the turn that `peek` shows; `left` is due when it has ended."""
        name = self._next()
        assert name is not None
        tenant = self._tenants[name]
        tenant.running += 1
        return tenant.pop()

    def charge(self, tenant: str, tokens: float) -> None:
        """What an answer has used by now; negative gives back."""
        if (known := self._tenants.get(tenant)) is not None:
            known.deficit -= tokens

    def left(self, tenant: str) -> None:
        """A turn has ended."""
        if (known := self._tenants.get(tenant)) is not None:
            known.running -= 1
            self._forget(tenant)

    def _forget(self, tenant: str) -> None:
        """Who asks for nothing saves up nothing, and owes nothing for ever."""
        known = self._tenants[tenant]
        if not known.waiting and not known.running:
            del self._tenants[tenant]

    def _next(self) -> str | None:
        """The first tenant in the ring whose deficit is positive, after as many rounds as that takes."""
        active = [(name, t) for name, t in self._tenants.items() if t.waiting]
        if not active:
            return None
        if all(t.deficit <= 0 for _, t in active):
            rounds = min(int(-t.deficit // QUANTUM) + 1 for _, t in active)
            for _, tenant in active:
                tenant.deficit = min(tenant.deficit + rounds * QUANTUM, QUANTUM)
        name = next(name for name, t in active if t.deficit > 0)
        for other, _ in active:  # those before it have had their turn: they come last now
            if other == name:
                break
            self._tenants.move_to_end(other)
        return name
