"""Who explores for one question, and with which new items."""

from services.scoring.recommendations.arranging import Exploring
from services.scoring.recommendations.bandit import Bandit
from services.scoring.recommendations.candidates import why_not
from services.scoring.recommendations.catalogue import Catalogue
from services.scoring.recommendations.choosing import Chosen, Question
from services.scoring.recommendations.contexts import Moment, interests
from services.scoring.recommendations.new_items import NewItems
from services.scoring.recommendations.past import known_of


class Explorers:
    """Finds who fills the explored place of a list."""

    def __init__(self, bandit: Bandit, new_items: NewItems, catalogue: Catalogue) -> None:
        self._bandit = bandit
        self._new_items = new_items
        self._catalogue = catalogue

    def exploring(self, question: Question, sources: Chosen, recent: list[str]) -> Exploring | None:
        """Return who does; nobody for lists that no model made for one shopper.

        recent: items of the shopper's history, the latest first.
        """
        asked, now, merchandising, _ = question
        is_explored = merchandising.exploration and asked.surface in {"user", "session"}
        if not is_explored or sources.scored is None:
            return None
        model, known, item_of = sources.scored.recommending.model, known_of(sources.records), self._catalogue.item

        def knows(item_id: str) -> bool:
            return model.position(item_id) is not None

        def may_be_shown(item_id: str) -> bool:
            is_shown = self._catalogue.is_shown(item_id, now, asked.category, merchandising.filters)
            return is_shown and why_not(item_id, known, asked, merchandising) is None

        moment = Moment(item_of, knows, interests(recent, item_of))
        return Exploring(self._bandit.explorer(moment), self._new_items.candidates(knows, may_be_shown))
