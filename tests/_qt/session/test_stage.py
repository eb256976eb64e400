"""All that shows layers beside the annotated image is told in one order, whichever dock was opened first."""

from itertools import permutations

import pytest

from napari_unet_finetune._qt.session.stage import Place, Stage


class Guest:
    def __init__(self, place, heard):
        self.place, self.heard = place, heard

    def follow(self, name):
        self.heard.append((self.place, name))

    def clear(self):
        self.heard.append((self.place, None))


@pytest.mark.parametrize("places", list(permutations((Place.IMAGE, Place.TRAINING, Place.COMPARISON))))
def test_the_order_is_that_of_the_places(places):
    stage, heard = Stage(), []
    for place in places:
        stage.join(place, Guest(place, heard))
    stage.follow("img_0")
    assert heard == [(Place.IMAGE, "img_0"), (Place.TRAINING, "img_0"), (Place.COMPARISON, "img_0")]
    heard.clear()
    stage.clear()
    assert heard == [(Place.IMAGE, None), (Place.TRAINING, None), (Place.COMPARISON, None)]


def test_a_guest_that_has_left_is_told_nothing_and_one_may_leave_while_others_are_told():
    stage, heard = Stage(), []
    first, second = Guest(Place.IMAGE, heard), Guest(Place.ERRORS, heard)
    first.follow = lambda _name: stage.leave(second)
    stage.join(Place.ERRORS, second)
    stage.join(Place.IMAGE, first)
    stage.follow("img_0")
    heard.clear()
    stage.follow("img_1")
    assert heard == []
