"""What JSON can say, as a type."""

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
