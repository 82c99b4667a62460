-- The reports of a queue, in the order in which they have their turn: nobody looks at the entries of other queues.
CREATE INDEX journal_turns ON journal (queue, seq) WHERE kind IN (1, 3);
