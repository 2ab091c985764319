/**
 * What is not as it should be in the schema of a tenant's database: the facts of PgCatalog compared with what `Ddl`
 * makes. Pure.
 *
 * A finding `loses` if changes or revisions would get lost: `verify` refuses such a database. Any other finding is a
 * warning: an object is missing that is not needed to serve values, or is unsafe. Triggers of other services that do
 * the same are accepted.
 */
import * as DdlColumns from "../../../schema/ddl/DdlColumns.ts"
import * as DdlEntries from "../../../schema/ddl/DdlEntries.ts"
import * as DdlHistoryTable from "../../../schema/ddl/DdlHistoryTable.ts"
import * as DdlKeys from "../../../schema/ddl/DdlKeys.ts"
import * as DdlNotify from "../../../schema/ddl/DdlNotify.ts"
import {
  type DdlObject,
  type FunctionObject,
  inSchema,
  type RelationObject,
  type RuleObject,
  safePath,
  type TriggerObject,
  versionOf
} from "../../../schema/ddl/DdlObjects.ts"
import * as DdlRevisions from "../../../schema/ddl/DdlRevisions.ts"
import * as DdlSequence from "../../../schema/ddl/DdlSequence.ts"
import * as PgCatalog from "./PgCatalog.ts"

/** Something that is not as it should be. */
export interface Finding {
  readonly object: DdlObject
  /** Whether changes or revisions get lost. */
  readonly loses: boolean
  /** What is wrong, for an operator. */
  readonly problem: string
  /** The SQL that mends it, if that is short. */
  readonly sql?: string | undefined
}

/** What is known of a database. */
export interface Known extends PgCatalog.Position {
  readonly facts: PgCatalog.Facts
  /** Quoted if it has to be. */
  readonly schema: string
}

/** The problem of what only a superuser, or a member of both roles, gives to another owner. */
export const ofAnotherOwner = "does not belong to the owner of systemplane_entries"

/** What is not in order, in the order in which the objects build on each other. */
export const findings = (objects: ReadonlyArray<DdlObject>, known: Known): ReadonlyArray<Finding> => {
  const { facts, schema } = known
  const found: Array<Finding> = []
  for (const object of objects) {
    switch (object.kind) {
      case "relation":
        found.push(...ofRelation(object, facts))
        break
      case "index":
        if (!facts.indexes.some(({ on, table }) => table === object.table && on === object.on)) {
          found.push({ object, loses: false, problem: "is missing" })
        }
        break
      case "function":
        if (isRun(object, facts)) found.push(...ofFunction(object, facts, schema))
        break
      case "triggers": {
        const wrong = object.triggers.flatMap((trigger) => ofTrigger(trigger, facts))
        if (wrong.length > 0) {
          found.push({ object, loses: wrong.some(({ loses }) => loses), problem: wrong[0]!.problem })
        }
        break
      }
      case "rule":
        found.push(...ofRule(object, known))
    }
  }
  return found
}

const ofRelation = (object: RelationObject, facts: PgCatalog.Facts): ReadonlyArray<Finding> => {
  const there = facts.relations.find(({ name }) => name === object.relation)
  if (there === undefined || !object.relkinds.includes(there.kind)) {
    return [{ object, loses: object === DdlEntries.table || object === DdlSequence.sequence, problem: "is missing" }]
  }
  if (object.reads !== undefined && there.reads !== object.reads) {
    return [{ object, loses: false, problem: `reads another table than ${object.reads}` }]
  }
  return object.owned && !there.owned ? [{ object, loses: false, problem: ofAnotherOwner }] : []
}

/** The triggers whose loss loses changes or revisions. */
const vital = [DdlRevisions.bumpTrigger, DdlNotify.notifyTrigger, DdlNotify.notifyUpdateTrigger]

const triggerOf = (trigger: TriggerObject, facts: PgCatalog.Facts) =>
  facts.triggers.find(({ name, table }) => table === trigger.table && name === trigger.name)

/** Whether the trigger is one of another service, which does the same. */
const isTolerated = (trigger: TriggerObject, facts: PgCatalog.Facts): boolean => {
  const there = triggerOf(trigger, facts)
  return there !== undefined && trigger.tolerated.includes(there.function) && ofTrigger(trigger, facts).length === 0
}

/** Ours have none. That of another service may name the channel, which must be ours then. */
const hasArguments = (trigger: TriggerObject, { arguments: args, function: run }: PgCatalog.Trigger): boolean =>
  args === "" || (trigger.tolerated.includes(run) && args === "systemplane_changes\\000")

const ofTrigger = (
  trigger: TriggerObject,
  facts: PgCatalog.Facts
): ReadonlyArray<{ loses: boolean; problem: string }> => {
  const loses = vital.includes(trigger)
  const there = triggerOf(trigger, facts)
  if (there === undefined) return [{ loses, problem: "is missing" }]
  const { condition, enabled, of, tables, type } = there
  const firesOn = type === trigger.tgtype && of === trigger.of && tables === trigger.tables
  if (!firesOn || !hasArguments(trigger, there))
    return [{ loses, problem: "fires on something else, or at another time" }]
  if (enabled !== trigger.enabled && enabled !== "O" && enabled !== "A") return [{ loses, problem: "does not fire" }]
  const isTheirs = trigger.tolerated.includes(there.function)
  if (!isTheirs && (there.function !== trigger.function || !there.here)) {
    return [{ loses, problem: "runs another function" }]
  }
  const mayLeaveOut = trigger.acceptable.includes(condition) || (isTheirs && condition === "")
  if (condition !== trigger.condition && !mayLeaveOut) return [{ loses, problem: "fires on another condition" }]
  if (!there.able) return [{ loses, problem: "runs a function that does something else than it is named for" }]
  return isTheirs || (enabled === trigger.enabled && condition === trigger.condition)
    ? []
    : [{ loses: false, problem: "is outdated" }]
}

/** The function of another service's trigger is that service's business, and ours is not needed then. */
const isRun = (object: FunctionObject, facts: PgCatalog.Facts): boolean => {
  const triggers = vital.filter((trigger) => trigger.function === object.name)
  return triggers.length === 0 || triggers.some((trigger) => !isTolerated(trigger, facts))
}

const ofFunction = (object: FunctionObject, facts: PgCatalog.Facts, schema: string): ReadonlyArray<Finding> => {
  const there = facts.functions.find(({ name, types }) => name === object.name && types === object.types)
  const loses = object === DdlRevisions.drawRevision || object === DdlNotify.notify
  if (there === undefined) return [{ object, loses, problem: "is missing" }]
  const signature = `${schema}.${object.name}(${object.types})`
  const [version, ours] = [versionOf(there.body), versionOf(object.body)]
  if (version <= ours || !there.owned) {
    if (there.body !== inSchema(object.body, schema)) {
      const known = object.older?.includes(there.body) === true
      const older = known || (version > 0 && version < ours)
      return [{ object, loses: loses && !known, problem: older ? "is of an older version" : "has another body" }]
    }
    // The statements that fire it then fail, or see less than they should.
    if (!there.plain) {
      return [{ object, loses: object.executable === "owner", problem: "has another language or volatility" }]
    }
    if (there.definer !== object.definer) {
      return [{ object, loses: object === DdlRevisions.drawRevision, problem: "has other rights than it needs" }]
    }
  }
  const unsafe = (problem: string, sql: string) => [{ object, loses: false, problem, sql }]
  if (there.settings !== `search_path=${safePath}`) {
    return unsafe("has another search_path", `ALTER FUNCTION ${signature} SET search_path = ${safePath};`)
  }
  if (!there.owned) return [{ object, loses: false, problem: ofAnotherOwner }]
  if (object.executable !== "everyone" && there.others > (object.executable === "named" ? 1 : 0)) {
    return unsafe("may be executed by other roles", `REVOKE ALL ON FUNCTION ${signature} FROM PUBLIC;`)
  }
  return []
}

const isThere = (facts: PgCatalog.Facts, relation: string) => facts.relations.some(({ name }) => name === relation)

/** What a table is made of comes with the table. */
const ofRule = (object: RuleObject, { ahead, aheadOfHistory, facts }: Known): ReadonlyArray<Finding> => {
  const isOfHistory = [
    DdlHistoryTable.columns,
    DdlHistoryTable.filledId,
    DdlHistoryTable.identityOrder,
    DdlSequence.positionAfterHistory
  ].includes(object)
  if (!isThere(facts, isOfHistory ? "systemplane_history" : "systemplane_entries")) return []
  const otherwise = (holds: boolean, loses = true, problem = "is not as it should be") =>
    holds ? [] : [{ object, loses, problem }]
  switch (object) {
    case DdlEntries.columns:
      return ofColumns(object, "systemplane_entries", DdlEntries.columnsOfEntries, facts, true)
    case DdlHistoryTable.columns:
      return ofColumns(object, "systemplane_history", DdlHistoryTable.columnsOfHistory, facts, false)
    case DdlEntries.durability: {
      const lost = facts.relations.filter(({ durable, name }) => !durable && DdlEntries.lasting.includes(name))
      return otherwise(lost.length === 0, false, `is none: a crash empties ${lost.map(({ name }) => name).join(", ")}`)
    }
    case DdlKeys.ownTriggers: {
      const open = facts.relations.filter(({ guarded, name }) => !guarded && DdlKeys.guarded.includes(name))
      const problem = `lets other roles put triggers on ${open.map(({ name }) => name).join(", ")}, which run with the owner's rights`
      return otherwise(open.length === 0, false, problem)
    }
    case DdlEntries.primaryKey:
      return otherwise(facts.unique)
    case DdlRevisions.revisionColumn:
      return otherwise(PgCatalog.columnOf(facts, "systemplane_entries", "revision") !== undefined)
    case DdlRevisions.noDefault:
      return otherwise(PgCatalog.columnOf(facts, "systemplane_entries", "revision")?.default !== true, false)
    case DdlSequence.sequencePosition:
      return otherwise(facts.ordered && ahead)
    case DdlHistoryTable.filledId:
      return otherwise(facts.filledHistory, true, "is missing: every write fails")
    case DdlHistoryTable.identityOrder:
      return otherwise(facts.orderedHistory, false)
    case DdlSequence.positionAfterHistory:
      return otherwise(aheadOfHistory)
    default:
      return []
  }
}

/** A lost column of the history is a warning: triggers of older versions do without. With another type, writes fail. */
const ofColumns = (
  object: RuleObject,
  relation: string,
  columns: ReadonlyArray<DdlColumns.Column>,
  facts: PgCatalog.Facts,
  needed: boolean
): ReadonlyArray<Finding> => {
  const lost: Array<string> = []
  const mistyped: Array<string> = []
  for (const column of columns) {
    const there = PgCatalog.columnOf(facts, relation, column.name)
    if (there !== undefined && !DdlColumns.accepts(column, there.type)) mistyped.push(`${column.name} is ${there.type}`)
    if (there === undefined && column.definition !== undefined) lost.push(column.name)
  }
  if (lost.length + mistyped.length === 0) return []
  const problem = [...mistyped, ...lost.map((name) => `${name} is missing`)].join(", ")
  return [{ object, loses: needed || mistyped.length > 0, problem: `are not as they should be: ${problem}` }]
}
