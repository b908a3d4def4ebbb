"""The 40 tasks of LIBERO's four suites, known without a simulator so that a config is checked at once."""

import difflib
from dataclasses import dataclass

from gipo.errors import GipoError

HORIZONS = {"libero_spatial": 220, "libero_object": 280, "libero_goal": 300, "libero_10": 520}
"""Steps of an episode by suite, the warm-up not counted: openvla-oft, longest demonstration rounded up [C]."""

INIT_STATES = 50
"""Stored initial states of every task."""

EPISODES_PER_TASK = 5
"""Episodes of one task before the next [R]; a change of the scene costs as much as an episode."""


@dataclass(frozen=True)
class LiberoTask:
    """One task: its suite, and its name there, which is also the stem of its BDDL file and of its initial states."""

    suite: str
    name: str

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return HORIZONS[self.suite]

    @property
    def instruction(self) -> str:
        """Instruction for the policy: the name in words, without its scene, as LIBERO's benchmark gives it."""
        return " ".join(word for word in self.name.split("_") if not word.isupper() and not word.startswith("SCENE"))


# fmt: off
_NAMES = {
    "libero_spatial": (
        "pick_up_the_black_bowl_between_the_plate_and_the_ramekin_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_next_to_the_ramekin_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_from_table_center_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_on_the_cookie_box_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_in_the_top_drawer_of_the_wooden_cabinet_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_on_the_ramekin_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_next_to_the_cookie_box_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_next_to_the_plate_and_place_it_on_the_plate",
        "pick_up_the_black_bowl_on_the_wooden_cabinet_and_place_it_on_the_plate",
    ),
    "libero_object": (
        "pick_up_the_alphabet_soup_and_place_it_in_the_basket",
        "pick_up_the_cream_cheese_and_place_it_in_the_basket",
        "pick_up_the_salad_dressing_and_place_it_in_the_basket",
        "pick_up_the_bbq_sauce_and_place_it_in_the_basket",
        "pick_up_the_ketchup_and_place_it_in_the_basket",
        "pick_up_the_tomato_sauce_and_place_it_in_the_basket",
        "pick_up_the_butter_and_place_it_in_the_basket",
        "pick_up_the_milk_and_place_it_in_the_basket",
        "pick_up_the_chocolate_pudding_and_place_it_in_the_basket",
        "pick_up_the_orange_juice_and_place_it_in_the_basket",
    ),
    "libero_goal": (
        "open_the_middle_drawer_of_the_cabinet",
        "put_the_bowl_on_the_stove",
        "put_the_wine_bottle_on_top_of_the_cabinet",
        "open_the_top_drawer_and_put_the_bowl_inside",
        "put_the_bowl_on_top_of_the_cabinet",
        "push_the_plate_to_the_front_of_the_stove",
        "put_the_cream_cheese_in_the_bowl",
        "turn_on_the_stove",
        "put_the_bowl_on_the_plate",
        "put_the_wine_bottle_on_the_rack",
    ),
    "libero_10": (
        "LIVING_ROOM_SCENE2_put_both_the_alphabet_soup_and_the_tomato_sauce_in_the_basket",
        "LIVING_ROOM_SCENE2_put_both_the_cream_cheese_box_and_the_butter_in_the_basket",
        "KITCHEN_SCENE3_turn_on_the_stove_and_put_the_moka_pot_on_it",
        "KITCHEN_SCENE4_put_the_black_bowl_in_the_bottom_drawer_of_the_cabinet_and_close_it",
        "LIVING_ROOM_SCENE5_put_the_white_mug_on_the_left_plate_and_put_the_yellow_and_white_mug_on_the_right_plate",
        "STUDY_SCENE1_pick_up_the_book_and_place_it_in_the_back_compartment_of_the_caddy",
        "LIVING_ROOM_SCENE6_put_the_white_mug_on_the_plate_and_put_the_chocolate_pudding_to_the_right_of_the_plate",
        "LIVING_ROOM_SCENE1_put_both_the_alphabet_soup_and_the_cream_cheese_box_in_the_basket",
        "KITCHEN_SCENE8_put_both_moka_pots_on_the_stove",
        "KITCHEN_SCENE6_put_the_yellow_and_white_mug_in_the_microwave_and_close_it",
    ),
}
# fmt: on

LIBERO_TASKS = {
    f"{suite}_{index}": LiberoTask(suite, name) for suite, names in _NAMES.items() for index, name in enumerate(names)
}
"""By suite and LIBERO's number of the task in it: ``libero_goal_7`` is task 7 of ``libero_goal``."""


def libero_task(task: str) -> LiberoTask:
    """The task of that name.

    Raises:
        GipoError: ``task`` is none of `LIBERO_TASKS`; the message has the closest name.
    """
    if task not in LIBERO_TASKS:
        close = difflib.get_close_matches(task, LIBERO_TASKS, n=1)
        raise GipoError(f"unknown task {task!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return LIBERO_TASKS[task]


def libero_tasks(task: str) -> dict[str, LiberoTask]:
    """Tasks by name: all of a suite, or the one of that name.

    Raises:
        GipoError: see `libero_task`.
    """
    if task in HORIZONS:
        return {name: found for name, found in LIBERO_TASKS.items() if found.suite == task}
    return {task: libero_task(task)}


def evaluation_groups(name: str, episodes: int) -> list[range]:
    """Evaluation episodes that share a scene: `EPISODES_PER_TASK` of one task, of which episode e plays number e mod n.

    Args:
        name: of a suite or a task.
        episodes: how many there are.
    """
    tasks = len(libero_tasks(name))
    together = tasks * EPISODES_PER_TASK
    return [
        range(first, min(turn + together, episodes), tasks)
        for turn in range(0, episodes, together)
        for first in range(turn, min(turn + tasks, episodes))
    ]
