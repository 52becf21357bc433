"""Operations on transfers, by their old path (os-volume-transfer) and by the new one (volume-transfers, 3.55)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from cluster.controlplane.answer import Answer, ok
from compute.actions import ACCEPTED
from compute.records import record_of
from compute.volumes import transfers, volumes
from compute.volumes.api import lists
from compute.volumes.api.forms import BOOLEAN, ID, NAME, Form, text, truth
from compute.volumes.api.requests import Request, at_least, links, own_target, permitted, project_of, volume_for
from compute.volumes.listing import Listed
from compute.volumes.moments import iso
from compute.volumes.schema import transfers as table
from compute.volumes.transfers import Transfer

LISTED = Listed(
    what="Transfer",
    table=table,
    filters={"id": "id", "name": "name", "volume_id": "volume_id"},
    sort_keys={"id": "id", "name": "name", "created_at": "created_at_us", "volume_id": "volume_id"},
)
_CREATION = Form("transfer", {"volume_id": ID, "name": NAME, "no_snapshots": BOOLEAN}, required=("volume_id",))
_ACCEPTANCE = Form("accept", {"auth_key": {"type": "string", "minLength": 1}}, required=("auth_key",))


def list_brief(context: Request) -> Answer:
    """GET /v3/volume-transfers."""
    return _list(context, _brief)


def list_detailed(context: Request) -> Answer:
    """GET /v3/volume-transfers/detail."""
    return _list(context, _detailed)


def show(context: Request, transfer_id: str) -> Answer:
    """GET /v3/volume-transfers/{transfer_id}."""
    return ok({"transfer": _document(context, _found(context, "volume:get_transfer", transfer_id))})


def create(context: Request) -> Answer:
    """POST /v3/volume-transfers: return the key, this once."""
    attributes = _CREATION.read(context)
    volume = volume_for(context, "volume:create_transfer", attributes["volume_id"])
    no_snapshots = at_least(context, 55) and truth(attributes.get("no_snapshots", False), "no_snapshots")
    made, key = transfers.offer(
        context.connection, volume.id, volume.project_id, text(attributes.get("name")), no_snapshots, context.now_us
    )
    return Answer(202, {"transfer": {**_document(context, made), "auth_key": key}})


def accept(context: Request, transfer_id: str) -> Answer:
    """POST /v3/volume-transfers/{transfer_id}/accept: anybody may who has the key; to others it is not there."""
    context.enforce("volume:accept_transfer", own_target(context))
    key = _ACCEPTANCE.read(context)["auth_key"]
    found = transfers.get(context.connection, transfer_id)
    if not transfers.opens(found, key):
        _found(context, "volume:get_transfer", transfer_id)
    transfers.accept(
        context.connection,
        found,
        key,
        project_of(context),
        context.caller.user.id,
        context.parts.settings.quotas,
        context.now_us,
    )
    return Answer(202, {"transfer": _brief(context, [found])[0]})


def remove(context: Request, transfer_id: str) -> Answer:
    """DELETE /v3/volume-transfers/{transfer_id}: take the offer back."""
    found = _found(context, "volume:delete_transfer", transfer_id)
    transfers.withdraw(context.connection, found, context.now_us)
    return ACCEPTED


def _found(context: Request, rule: str, transfer_id: str) -> Transfer:
    context.caller  # noqa: B018 who is nobody learns nothing
    found = transfers.get(context.connection, transfer_id)
    volume = volumes.get(context.connection, found.volume_id)
    permitted(context, volume, "volume:get_transfer", rule, "Transfer", transfer_id)
    return found


def _list(context: Request, show_rows: lists.Show) -> Answer:
    context.enforce("volume:get_all_transfers", own_target(context))
    return lists.answer_of(context, LISTED, "transfers", show_rows, project_column="source_project_id")


def _brief(context: Request, rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": row.id,
            "name": row.name,
            "volume_id": row.volume_id,
            "links": links(context, f"volume-transfers/{row.id}"),
        }
        for row in rows
    ]


def _detailed(context: Request, rows: "Sequence[Row[Any]]") -> list[dict[str, Any]]:
    return [_document(context, record_of(Transfer, row)) for row in rows]


def _document(context: Request, transfer: Transfer) -> dict[str, Any]:
    document = {**_brief(context, [transfer])[0], "created_at": iso(transfer.created_at_us)}
    if at_least(context, 55):
        document["no_snapshots"] = transfer.no_snapshots
    if at_least(context, 57):
        document |= {
            "source_project_id": transfer.source_project_id,
            "destination_project_id": None,
            "accepted": False,
        }
    return document
