"""The kinds of policy: each has its own versions on the one topic of policies."""

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from services.scoring.policy.document import POLICY_NAME
from services.scoring.policy.policy import BEFORE_THE_FIRST, Policy, policy_of

P_co = TypeVar("P_co", covariant=True)
P = TypeVar("P")


class Reader(Protocol[P_co]):
    """Makes a policy of its text (YAML).

    Raises:
        PolicyError: it cannot be put in force; the message names the lines.
    """

    def __call__(self, text: str, *, version: int) -> P_co: ...


class Kind(NamedTuple, Generic[P]):
    """What policies of one kind have in common.

    name: their `policy_name` on the topic. before_the_first: what is in force until one is published. let_go: told of
    one that another has replaced.
    """

    name: str
    policy_of: Reader[P]
    before_the_first: P
    let_go: Callable[[P], None] = lambda _: None


PAYMENTS: Kind[Policy] = Kind(POLICY_NAME, policy_of, BEFORE_THE_FIRST, let_go=Policy.let_go)
