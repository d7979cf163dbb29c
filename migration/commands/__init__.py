"""What a person asks of a finished or planned migration: plan, verify, lists,
export."""
