"""The type of a JSON value."""

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
