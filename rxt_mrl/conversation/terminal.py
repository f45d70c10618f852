"""``rxt-mrl chat``: talk with a checkpoint in the terminal. Each message is answered from the memory alone."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from rich.console import Console

from ..display import busy, say
from ..errors import UserError
from ..model import SamplingConfig
from ..runs import checkpoints
from ..settings import validate
from .batch import Token
from .known import example
from .single import Conversation

HELP = "Each message is answered from memory alone. /forget starts anew, /save FILE keeps the memory, /quit ends."


def run_chat(
    checkpoint: Path,
    *,
    memory: Path | None,
    temperature: float,
    seed: int,
    console: Console,
    read: Callable[[str], str] = input,
) -> None:
    """Read messages and answer them until /quit or the end of input.

    Args:
        checkpoint: a checkpoint or run directory.
        memory: restored from this file if it is there, and saved to it after every message.
        temperature: 0 is greedy.
        seed: of the initial memory and of sampling.
        console: where answers go.
        read: asks for a message (``input``).

    Raises:
        UserError: no such checkpoint, a memory file that does not fit it, or no place to save one.
    """
    if memory is not None:
        _check_place(memory)
    if isinstance(sys.stdin, io.TextIOWrapper):  # a byte that is no text is a sign that the model does not know
        sys.stdin.reconfigure(errors="replace")
    sampling = validate(SamplingConfig, {"temperature": temperature}, "--temperature")
    place = checkpoints.locate(checkpoint)
    with busy(f"loading {place}"):
        model, tokenizer = checkpoints.load(place)
    conversation = Conversation(model, tokenizer, sampling=sampling, seed=seed, background=True)
    try:
        if memory is not None and os.path.lexists(memory):
            conversation.restore(memory)
            say(console, f"memory restored from {memory}, after {conversation.turns} messages")
        run = checkpoints.run_of(place)
        if run is not None and (turns := example(run)) is not None:
            say(console, ["It knows no more than what it was trained on, dialogues like this one:", *map(_turn, turns)])
        say(console, HELP)
        _talk(conversation, console, read, memory)
        if memory is not None:
            conversation.save(memory)
            say(console, f"memory saved to {memory}")
    finally:
        conversation.close()


def _check_place(memory: Path) -> None:
    """Whether a memory can be saved there: at the end of a conversation it is too late."""
    if memory.is_dir():
        raise UserError(f"--memory {memory}: is a directory, give a file")
    if not memory.parent.is_dir():
        raise UserError(f"--memory {memory}: the folder {memory.parent} does not exist")
    if not os.access(memory.parent, os.W_OK):
        raise UserError(f"--memory {memory}: the folder {memory.parent} cannot be written to")


def _talk(conversation: Conversation, console: Console, read: Callable[[str], str], memory: Path | None) -> None:
    """Answer messages; the memory is saved after each, so that nothing that ends the conversation loses more."""
    while True:
        try:
            message = read("you: ").strip()
        except EOFError:
            console.print()
            return
        if not sys.stdin.isatty():  # a terminal shows what is typed
            console.print(message, highlight=False, markup=False, soft_wrap=True)
        if message.split(" ")[0] == "/quit":
            return
        try:
            _respond(conversation, message, console)
            if memory is not None:
                conversation.save(memory)
        except UserError as error:  # too long a message, an unwritable file: say so and go on talking
            console.print(str(error), style="red", highlight=False, markup=False)


def _turn(turn: tuple[str, str]) -> str:
    return '  "{}" -> "{}"'.format(*turn)


def _respond(conversation: Conversation, message: str, console: Console) -> None:
    command, _, argument = message.partition(" ")
    if command == "/forget":
        conversation.reset()
        console.print("forgotten", style="dim")
    elif command == "/save":
        if not argument:
            raise UserError("/save: give a file")
        conversation.save(Path(argument))
        console.print(f"saved to {argument}", style="dim", highlight=False, markup=False, soft_wrap=True)
    elif re.fullmatch(r"/[a-z]+", command):
        raise UserError(f"{command}: unknown; allowed: /forget, /save FILE, /quit")
    elif message:
        events = conversation.ask(message)
        with busy("answering"):  # the first answer compiles the loops of generation
            first = next(events, None)
        console.print("rxt: ", end="", style="bold")
        for event in chain([first], events):
            if isinstance(event, Token):
                console.print(event.text, end="", highlight=False, markup=False)
        console.print()
