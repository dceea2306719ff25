"""One extraction shared by several processes: who works on what, and what is already done."""
