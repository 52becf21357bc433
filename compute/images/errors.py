"""What the image service refuses beside what all services refuse (`compute.errors`)."""

from compute.errors import BadRequest, Conflict, Forbidden, NotFound
from compute.images.statuses import Status


class NoSuchImage(NotFound):
    """There is no such image, or the caller does not see it: that reads the same."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"No image found with ID {image_id}")
        self.image_id = image_id


class WrongStatus(Conflict):
    """An image does not go from the state in which it is to the one that is asked for."""

    def __init__(self, status: Status, wanted: Status) -> None:
        super().__init__(f"Image status transition from {status.value} to {wanted.value} is not allowed")
        self.was, self.wanted = status, wanted


class Protected(Forbidden):
    """The image is protected by its own attribute."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image {image_id} is protected and cannot be deleted.")


class Refused(BadRequest):
    """The data is not what was declared, or nothing that is safe to have."""
