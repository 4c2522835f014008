"""The paper's objective, one function an equation; tensors only."""
