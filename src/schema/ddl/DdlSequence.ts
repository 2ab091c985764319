/**
 * The sequence of revisions: where it has to stand, and the functions that draw from it and raise it.
 *
 * A number that is drawn is above all that were drawn before, and above what the tables hold, whatever was done to the
 * sequence meanwhile: `setval`, a cache, another direction. What can be corrected without a lock on the sequence is
 * corrected by the draw. What cannot is refused, until the rules below, or an operator, mend the sequence.
 */
import { type DdlObject, type FunctionObject, invoker, lockKey, type RuleObject, versioned } from "./DdlObjects.ts"

export const sequence: DdlObject = {
  kind: "relation",
  name: "sequence systemplane_revision_seq",
  relation: "systemplane_revision_seq",
  relkinds: ["S"],
  owned: true,
  create: ["CREATE SEQUENCE {schema}.systemplane_revision_seq"]
}

/**
 * A revision counts for where the sequence stands only if it is below this. No sequence gets here by drawing, and one
 * that followed a higher revision, which an operator wrote by hand, would soon draw what JavaScript cannot express.
 */
export const tooHigh = "4503599627370496"

/**
 * A sequence that is here or above, while no revision is, was set by hand. If a statement crosses it before the next
 * one looks, its revisions still have as many numbers to go.
 */
const farOff = "2251799813685248"

/** Whether the sequence was set to where no row is. */
export const isFarOff = (last: string, highest: string) =>
  `${last} >= ${farOff} AND coalesce(${highest}, 0) < ${farOff}`

const highestOf = (alias: string, table: string) =>
  `(SELECT pg_catalog.max(${alias}.revision) FROM ${table} AS ${alias} WHERE ${alias}.revision < ${tooHigh})`

/** The highest revision of the table that counts. */
export const highestOfEntries = (table: string): string => highestOf("e", table)

/** The same of the history, which knows the revisions of rows that were deleted. */
export const highestOfHistory = (table: string): string => highestOf("h", table)

export const entriesTable = "{schema}.systemplane_entries"
export const historyTable = "{schema}.systemplane_history"
export const isThereHistory = "to_regclass('{schema:literal}.systemplane_history') IS NOT NULL"

// Draws the missing numbers one by one if they are few: a concurrent writer that draws meanwhile then never meets a
// number twice, and none waits. `setval` could lower the sequence below such a draw, or below another `setval`, so it
// is left for gaps that no statement crosses meanwhile, and for a sequence that was set to what no draw may give. It
// leaves out the numbers that others may have drawn for rows that they have not committed.
export const raiseSequence: FunctionObject = {
  ...invoker("systemplane_sequence_raise", ""),
  types: "regclass, bigint",
  arguments: "sequence regclass, at_least bigint",
  returns: "void",
  body: versioned(
    `
DECLARE
  last bigint := coalesce(pg_sequence_last_value(sequence), 0);
BEGIN
  IF ${isFarOff("last", "at_least")} OR at_least - last > 100000 THEN
    PERFORM pg_advisory_xact_lock(${lockKey});
    last := coalesce(pg_sequence_last_value(sequence), 0);
    IF ${isFarOff("last", "at_least")} OR at_least - last > 100000 THEN
      PERFORM setval(sequence, greatest(at_least, least(coalesce(at_least, 0) + 100000, ${farOff} - 1)));
      RETURN;
    END IF;
  END IF;
  FOR attempt IN 1 .. at_least - last LOOP
    EXIT WHEN nextval(sequence) >= at_least;
  END LOOP;
END`,
    3
  )
}

// A number above all that the sequence gave before, and above the one that the row has. Whatever other sessions draw
// meanwhile, a sequence that counts up gives each draw more than it was at before. One with a cache does not, until
// this session has used up the numbers that it holds. One that counts down never does, and is mended by its owner.
export const drawSequence: FunctionObject = {
  ...invoker("systemplane_sequence_draw", ""),
  types: "regclass, bigint",
  arguments: "sequence regclass, above bigint",
  returns: "bigint",
  body: versioned(
    `
DECLARE
  last bigint := greatest(pg_sequence_last_value(sequence), above, 0);
  drawn bigint;
  before bigint;
BEGIN
  FOR attempt IN 1 .. 100000 LOOP
    drawn := nextval(sequence);
    IF drawn > last THEN
      RETURN drawn;
    END IF;
    EXIT WHEN drawn <= before;
    before := drawn;
  END LOOP;
  RAISE EXCEPTION 'the sequence % does not count up from %: it gave %', sequence, last, drawn
    USING ERRCODE = 'invalid_object_definition', HINT = 'Run Ddl.sql as the owner of systemplane_entries.';
END`,
    3
  )
}

const revisions = "'{schema:literal}.systemplane_revision_seq'::regclass"

/** Whether a sequence gives each number once, in order. */
export const countsUp = (sequence: string): string =>
  `${sequence}.seqcache = 1 AND ${sequence}.seqincrement = 1 AND NOT ${sequence}.seqcycle`

/**
 * Whether each number is drawn once, in order, and without an end. A cache hands numbers to sessions ahead of time: a
 * later write may draw a lower one.
 */
export const drawsInOrder = (sequence: string): string => `EXISTS (
    SELECT FROM pg_sequence AS s
    WHERE s.seqrelid = ${sequence}::oid AND ${countsUp("s")}
      AND s.seqtypid = 'pg_catalog.int8'::regtype::oid AND s.seqmin = 1 AND s.seqmax > ${tooHigh}
  )`

/**
 * Whether no row carries a revision above the last that was drawn. A role without a right on the sequence may not ask.
 */
export const isAhead = (sequence: string, highestRevision: string): string =>
  `CASE WHEN pg_catalog.has_sequence_privilege(${sequence}, 'SELECT')
    THEN coalesce(pg_catalog.pg_sequence_last_value(${sequence}), 0) BETWEEN coalesce(${highestRevision}, 0) AND ${tooHigh} - 1 ELSE true END`

// `ALTER SEQUENCE` waits for each transaction that has drawn, and lets none draw until it is committed: so no number is
// drawn twice. `RESTART` makes sessions forget the numbers that they hold ahead of time.
const setPosition: ReadonlyArray<string> = [
  "ALTER SEQUENCE {schema}.systemplane_revision_seq CACHE 1",
  `DO $position$
DECLARE
  last bigint := coalesce(pg_sequence_last_value(${revisions}), 0);
BEGIN
  IF last >= ${tooHigh} THEN
    last := 0;
  END IF;
  last := greatest(last, 0, ${highestOfEntries(entriesTable)});
  IF ${isThereHistory} THEN
    last := greatest(last, ${highestOfHistory(historyTable)});
  END IF;
  EXECUTE 'ALTER SEQUENCE {schema:literal}.systemplane_revision_seq AS bigint INCREMENT BY 1 MINVALUE 1 NO MAXVALUE START WITH 1 NO CYCLE RESTART WITH '
    || (last + 1)::text;
  IF last > 0 THEN
    PERFORM setval(${revisions}, last);
  END IF;
END $position$`
]

export const sequencePosition: RuleObject = {
  kind: "rule",
  name: "position of systemplane_revision_seq",
  holds: `${drawsInOrder(revisions)}
  AND ${isAhead(revisions, highestOfEntries(entriesTable))}`,
  reads: "systemplane_entries",
  mend: setPosition
}

/** The same, once there is a history: rows may have been deleted, and the sequence set back. */
export const positionAfterHistory: RuleObject = {
  kind: "rule",
  name: "position of systemplane_revision_seq after systemplane_history",
  holds: isAhead(revisions, highestOfHistory(historyTable)),
  reads: "systemplane_history",
  mend: setPosition
}
