"""Calling: one request from the command line, and the reply on standard output."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from posthouse.cli_connection import with_broker
from posthouse.cli_consume import message_as_json
from posthouse.cli_output import print_body, print_json
from posthouse.cli_publish import Level
from posthouse.cli_values import HEADER_HELP, parse_headers
from posthouse.client import Broker


@with_broker
def call(
    broker: Broker,
    exchange: Annotated[
        str, typer.Argument(metavar="EXCHANGE", help="'' calls the queue named by --key.", show_default=False)
    ],
    body: Annotated[
        str, typer.Argument(metavar="[BODY|-]", help="'-' reads it from standard input.", show_default=False)
    ] = "",
    key: Annotated[str, typer.Option("--key", "-k", metavar="KEY", help="The routing key.")] = "",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", metavar="NAME=VALUE", help=HEADER_HELP)] = None,
    durability: Annotated[
        Level, typer.Option(metavar="LEVEL", help="How safe the request is in its queue: memory, os, sync.")
    ] = Level.MEMORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reply with all that is known of it.")] = False,
) -> None:
    """Send a request, wait for its reply (--timeout) and print that.

    Nobody who serves it, an error of whoever does, and no reply in time are failures: exit code 1, and
    error[no_responders], error[call_failed] or error[call_timeout].

    \b
    Examples:
      posthouse call rpc '[1, 2, 3]' --key sum --timeout 5s
      posthouse call '' - --key resize < picture.png > small.png
    """
    # An argument that is not UTF-8 arrives with surrogates; fsencode gives back the bytes that were typed.
    request = sys.stdin.buffer.read() if body == "-" else os.fsencode(body)
    reply = broker.call(exchange, request, key, parse_headers(header), durability=durability.value)
    if as_json:
        print_json(message_as_json(reply))
    else:
        print_body(reply.body)
