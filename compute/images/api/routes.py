"""The routes of the Images API, but for data (`data`). What is marked as ours is not in Glance."""

from cluster.controlplane.application import Route
from compute.images.api import golden, images, imports, info, members, schemas, tags, versions

ROUTES = (
    Route("/", {"GET": versions.choose}),
    Route("/versions", {"GET": versions.show}),
    Route("/v2", {"GET": versions.choose}),
    Route("/v2/", {"GET": versions.choose}),
    Route("/v2/images", {"GET": images.list_all, "POST": images.create}),
    Route("/v2/images/{image_id}", {"GET": images.show, "PATCH": images.change, "DELETE": images.remove}),
    Route("/v2/images/{image_id}/actions/deactivate", {"POST": images.deactivate}),
    Route("/v2/images/{image_id}/actions/reactivate", {"POST": images.reactivate}),
    Route("/v2/images/{image_id}/actions/golden", {"POST": golden.show}),  # ours
    Route("/v2/images/{image_id}/import", {"POST": imports.begin}),
    Route("/v2/images/{image_id}/tasks", {"GET": imports.list_of_image}),
    Route("/v2/images/{image_id}/members", {"GET": members.list_all, "POST": members.add}),
    Route(
        "/v2/images/{image_id}/members/{member_id}",
        {"GET": members.show, "PUT": members.change, "DELETE": members.remove},
    ),
    Route("/v2/images/{image_id}/tags/{tag}", {"PUT": tags.add, "DELETE": tags.remove}),
    Route("/v2/info/import", {"GET": info.show_import}),
    Route("/v2/info/stores", {"GET": info.show_stores}),
    Route("/v2/info/stores/detail", {"GET": info.show_store_details}),
    Route("/v2/info/usage", {"GET": info.show_usage}),
    Route("/v2/info/usage/{project_id}", {"GET": info.show_usage_of, "PUT": info.set_limits}),  # ours
    Route("/v2/schemas/{name}", {"GET": schemas.show}),
    Route("/v2/stores/{store_id}/{image_id}", {"DELETE": images.remove_from_store}),
    Route("/v2/tasks", {"GET": imports.list_tasks, "POST": imports.refuse_task}),
    Route("/v2/tasks/{task_id}", {"GET": imports.show_task}),
)
