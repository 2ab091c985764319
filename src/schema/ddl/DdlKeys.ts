/**
 * The catalogue of declared keys, and the processes that run on a database.
 *
 * A key is a secret if one of its declarations says so. Once it is, it stays one: the history keeps none of its values,
 * and its declarations no default and no examples.
 */

import * as SecretNames from "../SecretNames.ts"
import {
  alone,
  type DdlObject,
  definer,
  type FunctionObject,
  invoker,
  keepsSnapshot,
  onlyOn,
  type RelationObject,
  trigger,
  versioned
} from "./DdlObjects.ts"

export const keys = "{schema}.systemplane_keys"

/** Whether a declaration says that the key of this row is a secret. */
export const isDeclaredSecret = (alias: string) =>
  `EXISTS (SELECT FROM ${keys} AS k WHERE k.namespace = ${alias}.namespace AND k.key = ${alias}.key AND k.secret)`

/** By a declaration, or by what the writer says of its own keys: no application may have declared them yet. */
export const isSecret = (alias: string) => `(${isDeclaredSecret(alias)} OR ${SecretNames.isNamed(alias)})`

const keysTable: RelationObject = {
  kind: "relation",
  name: "table systemplane_keys",
  relation: "systemplane_keys",
  relkinds: ["r"],
  owned: true,
  create: [
    `CREATE TABLE ${keys} (
  namespace text NOT NULL,
  key text NOT NULL,
  declared_by text NOT NULL,
  secret boolean NOT NULL DEFAULT false,
  description text,
  owner text,
  schema jsonb,
  exact boolean,
  default_value jsonb,
  examples jsonb,
  declared_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (namespace, key, declared_by)
)`
  ]
}

const processesTable: RelationObject = {
  kind: "relation",
  name: "table systemplane_processes",
  relation: "systemplane_processes",
  relkinds: ["r"],
  owned: true,
  create: [
    `CREATE UNLOGGED TABLE {schema}.systemplane_processes (
  process uuid PRIMARY KEY,
  lock_key integer,
  role name NOT NULL,
  application text,
  version text,
  host text,
  started_at timestamptz,
  state jsonb,
  reported_at timestamptz NOT NULL DEFAULT now()
)`
  ]
}

/**
 * Holds the number of the transaction that made a key a secret last. A transaction that keeps an older snapshot sees
 * neither that declaration nor a later one, but it sees where a sequence stands.
 */
const secretsSequence: RelationObject = {
  kind: "relation",
  name: "sequence systemplane_secrets_seq",
  relation: "systemplane_secrets_seq",
  relkinds: ["S"],
  owned: true,
  create: ["CREATE SEQUENCE {schema}.systemplane_secrets_seq"]
}

const secrets = "to_regclass('{schema:literal}.systemplane_secrets_seq')"

// A number that the server has not given yet comes from another one, by a dump.
const seeSecrets: FunctionObject = {
  ...invoker("systemplane_keys_see_secrets", ""),
  returns: "void",
  body: versioned(
    `
DECLARE
  declared xid8 := pg_sequence_last_value(${secrets})::text::xid8;
BEGIN
  IF declared IS NULL OR declared = pg_current_xact_id() OR pg_visible_in_snapshot(declared, pg_current_snapshot()) THEN
    RETURN;
  END IF;
  BEGIN
    PERFORM pg_xact_status(declared);
  EXCEPTION WHEN invalid_parameter_value THEN
    RETURN;
  END;
  RAISE EXCEPTION 'could not serialize access: a key was declared a secret after this transaction began'
    USING ERRCODE = 'serialization_failure', HINT = 'Run the transaction again.';
END`,
    3
  )
}

const otherSecret = (row: string) => `SELECT FROM ${keys} AS k
      WHERE k.namespace = ${row}.namespace AND k.key = ${row}.key AND k.declared_by <> ${row}.declared_by AND k.secret`

const keepKeys = definer(
  "systemplane_keys_keep",
  `
BEGIN${onlyOn("systemplane_keys")}
  IF TG_OP = 'TRUNCATE' THEN
    RAISE EXCEPTION 'systemplane_keys says which keys are secret, and is not truncated' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF TG_OP = 'DELETE' THEN
    IF OLD.secret THEN
      PERFORM FROM (${otherSecret("OLD")} LIMIT 1 FOR KEY SHARE) AS other;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'this row is the last that says that %/% is a secret', OLD.namespace, OLD.key
          USING ERRCODE = 'insufficient_privilege', HINT = 'Delete the other declarations of the key, and keep this one.';
      END IF;
    END IF;
    RETURN OLD;
  END IF;
  IF TG_OP = 'UPDATE' AND OLD.secret THEN
    IF (NEW.namespace, NEW.key, NEW.declared_by) IS DISTINCT FROM (OLD.namespace, OLD.key, OLD.declared_by) THEN
      RAISE EXCEPTION 'the declaration of a secret is not renamed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.secret := true;
  END IF;
  IF NEW.secret OR EXISTS (${otherSecret("NEW")}) THEN
    NEW.default_value := NULL;
    NEW.examples := NULL;
  END IF;
  RETURN NEW;
END`
)

// The lock waits for writers whose records are not committed yet: their values would be kept otherwise.
const redact = definer(
  "systemplane_keys_redact",
  `
BEGIN${onlyOn("systemplane_keys")}
  IF NOT NEW.secret OR TG_OP = 'UPDATE' AND OLD.secret THEN
    RETURN NULL;
  END IF;
  UPDATE ${keys} AS k SET default_value = NULL, examples = NULL
  WHERE k.namespace = NEW.namespace AND k.key = NEW.key AND (k.default_value IS NOT NULL OR k.examples IS NOT NULL);
  IF to_regclass('{schema:literal}.systemplane_history') IS NOT NULL THEN
    IF NOT EXISTS (${otherSecret("NEW")}) THEN
      LOCK TABLE {schema}.systemplane_entries IN SHARE ROW EXCLUSIVE MODE;
      IF ${keepsSnapshot} AND pg_sequence_last_value(pg_get_serial_sequence('{schema:literal}.systemplane_history', 'id')::regclass)
        > coalesce((SELECT max(h.id) FROM {schema}.systemplane_history AS h), 0) THEN
        RAISE EXCEPTION 'could not serialize access: this transaction may not see all records of %/%', NEW.namespace, NEW.key
          USING ERRCODE = 'serialization_failure', HINT = 'Declare a secret under READ COMMITTED.';
      END IF;
      PERFORM setval(${secrets}, pg_current_xact_id()::text::bigint);
    END IF;
    UPDATE {schema}.systemplane_history AS h SET value = NULL, previous_value = NULL, redacted = true
    WHERE h.namespace = NEW.namespace AND h.key = NEW.key AND (h.value IS NOT NULL OR h.previous_value IS NOT NULL);
  END IF;
  RETURN NULL;
END`,
  { version: 3 }
)

const stamp = invoker(
  "systemplane_processes_stamp",
  `
BEGIN
  NEW.role := session_user;
  RETURN NEW;
END`
)

/** The tables on which functions of ours run with their owner's rights. */
export const guarded = ["systemplane_history", "systemplane_keys", "systemplane_processes"]

const strangers = `
  SELECT DISTINCT c.oid::regclass AS relation, a.grantee
  FROM (VALUES ${guarded.map((name) => `('${name}')`).join(", ")}) AS w (name)
  JOIN pg_class AS c ON c.oid = to_regclass('{schema:literal}.' || w.name),
  LATERAL aclexplode(c.relacl) AS a
  WHERE a.privilege_type = 'TRIGGER' AND a.grantee <> c.relowner`

/** Default privileges may have granted it with all others. */
export const ownTriggers: DdlObject = {
  kind: "rule",
  name: "right to put triggers on the tables",
  holds: `NOT EXISTS (${strangers})`,
  mend: [
    `DO $rights$
DECLARE
  stranger record;
BEGIN
  FOR stranger IN ${strangers}
  LOOP
    EXECUTE 'REVOKE TRIGGER ON ' || stranger.relation::text || ' FROM '
      || CASE stranger.grantee WHEN 0::oid THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(stranger.grantee)) END || ' CASCADE';
  END LOOP;
END $rights$`
  ]
}

/**
 * Records what no trigger did, once the tables are there that it writes to and looks at: a table that was dropped, and
 * is made anew, was missing meanwhile.
 */
export const recordUnrecorded = `DO $unrecorded$
BEGIN
  IF to_regclass('{schema:literal}.systemplane_history') IS NOT NULL
    AND to_regprocedure('{schema:literal}.systemplane_record_unrecorded()') IS NOT NULL
    AND EXISTS (
      SELECT FROM pg_trigger AS g
      WHERE g.tgrelid = to_regclass('{schema:literal}.systemplane_entries') AND g.tgname = 'systemplane_record_insert_trigger'
    ) THEN
    PERFORM {schema}.systemplane_record_unrecorded();
  END IF;
END $unrecorded$`

export const functions: ReadonlyArray<FunctionObject> = [seeSecrets, keepKeys, redact, stamp]

const onKeys = (options: Omit<Parameters<typeof trigger>[0], "table">, afterwards?: ReadonlyArray<string>) =>
  alone(trigger({ ...options, table: "systemplane_keys" }), afterwards)

/** In the order in which they build on each other. */
export const objects: ReadonlyArray<DdlObject> = [
  keysTable,
  secretsSequence,
  processesTable,
  ...functions,
  onKeys({
    name: "systemplane_keys_keep_trigger",
    when: "BEFORE",
    on: ["INSERT", "UPDATE", "DELETE"],
    each: "ROW",
    run: keepKeys.name
  }),
  onKeys({
    name: "systemplane_keys_keep_truncate_trigger",
    when: "BEFORE",
    on: ["TRUNCATE"],
    each: "STATEMENT",
    run: keepKeys.name
  }),
  onKeys(
    {
      name: "systemplane_keys_redact_trigger",
      when: "AFTER",
      on: ["INSERT", "UPDATE"],
      each: "ROW",
      run: redact.name
    },
    [recordUnrecorded]
  ),
  alone(
    trigger({
      name: "systemplane_processes_stamp_trigger",
      table: "systemplane_processes",
      when: "BEFORE",
      on: ["INSERT", "UPDATE"],
      each: "ROW",
      run: stamp.name
    })
  )
]
