"""City figures as pure functions of numbers, one module per field. They import nothing of the gateway."""
