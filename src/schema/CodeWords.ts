/**
 * What the code of a failure means to an operator, and what mends it: SQLSTATEs of the server, codes of the operating
 * system and of TLS. A reason of an error keeps the code, and its message is made here.
 *
 * Codes of the server: https://www.postgresql.org/docs/18/errcodes-appendix.html
 *
 * @since 0.1.0
 */

/** What went wrong, and what to do about it; no advice if there is none. */
type Words = readonly [problem: string, advice: string | undefined]

type Row = readonly [codes: ReadonlyArray<string>, problem: string, advice: string]

const byCode = (rows: ReadonlyArray<Row>): ReadonlyMap<string | undefined, Words> =>
  new Map(rows.flatMap(([codes, ...words]) => codes.map((code) => [code, words])))

/** The words and the code in one sentence. */
const sentence = ([problem, advice]: Words, code: string | undefined): string =>
  `${problem}${suffix(code)}${advice === undefined ? "" : `; ${advice}`}`

/** A code in parentheses; nothing if there is none. */
export const suffix = (code: string | undefined): string => (code === undefined ? "" : ` (${code})`)

const checkAddress = "check that the server runs and that the address and database exist"
const triedAgain = "it is tried again"

const connecting = byCode([
  [["ENOTFOUND"], "the host name does not resolve", "correct the host name in the URL, or the name server's entry"],
  [["EAI_AGAIN"], "the name server did not answer", triedAgain],
  [["ECONNREFUSED"], "the port is refused", "start the server, or correct host and port in the URL"],
  [
    ["ENOENT"],
    "there is no socket at that path",
    "start the server, or correct the directory of the socket in the URL"
  ],
  [["EACCES"], "the process may not use that socket or port", checkAddress],
  [
    ["EHOSTUNREACH", "ENETUNREACH"],
    "there is no route to the host",
    "check the network between this process and the server, and the address"
  ],
  [
    ["ETIMEDOUT"],
    "there was no answer in time",
    "check the address, a firewall in between, and the load of the server"
  ],
  [
    ["NOT_POSTGRESQL"],
    "what answers is not a PostgreSQL server, or something in between changes its answers",
    "correct host and port in the URL"
  ],
  [["TLS_REFUSED"], "the server takes no TLS", "switch TLS on in the server, or say sslmode=prefer in the URL"],
  [
    ["TLS_CHECK_THREW"],
    "the option checkServerIdentity threw",
    "correct it, so that it returns an error for a server that it does not trust"
  ],
  [
    [
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "SELF_SIGNED_CERT_IN_CHAIN",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "UNABLE_TO_GET_ISSUER_CERT",
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"
    ],
    "no authority that is trusted here vouches for the server's certificate",
    "name the authority's file as sslrootcert in the URL, or say sslmode=require, which checks no certificate"
  ],
  [
    ["ERR_TLS_CERT_ALTNAME_INVALID"],
    "the server's certificate is for another host name",
    "connect by the name in the certificate, or say sslmode=verify-ca, which checks no name"
  ],
  [
    ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"],
    "the server's certificate is not valid at this time",
    "renew the certificate, or correct the clock"
  ],
  [["ECONNRESET", "EPIPE"], "the connection was closed before the session was ready", checkAddress],
  [["3D000"], "the database does not exist", "create it, or correct the name in the URL"],
  [
    ["53300"],
    "the server, the database or the role has no connection left",
    "close other sessions, lower maxConnections, or raise max_connections or CONNECTION LIMIT"
  ],
  [
    ["55000"],
    "the database does not accept connections",
    "run ALTER DATABASE … ALLOW_CONNECTIONS true, or correct the name in the URL"
  ],
  [["57P01", "57P02"], "the server is shutting down", triedAgain],
  [["57P03"], "the server is starting up or recovering", triedAgain],
  [
    ["42501"],
    "the role lacks CONNECT on the database",
    "grant CONNECT to it, and leave out of the URL's options what only a superuser may set"
  ],
  [["25006"], "the server is read-only", "give the address of the primary"],
  [["57014"], "the first statement was cancelled", "raise statement_timeout of the role or the database"],
  [
    ["22P05", "22021"],
    "the encoding of the database cannot hold a character",
    "make the database anew with the encoding UTF8"
  ]
])

/** Why no connection came about. */
export const ofConnecting = (code: string | undefined): string =>
  sentence(connecting.get(code) ?? (code !== undefined && sqlState.test(code) ? refusedSession : noConnection), code)

const noConnection: Words = ["no connection", checkAddress]

const sqlState = /^[0-9][0-9A-Z]{4}$/

/** A setting that does not exist, a library that cannot be loaded: the server's own words stay in its log. */
const refusedSession: Words = [
  "the server refused the session",
  "its log says why: look at the options of the URL, and at what is set for the role and the database"
]

/**
 * A schema, a table, a column or a function that is not there, or an object that is not as it should be: also a
 * sequence that does not count up, or gives no more numbers.
 */
const missingObjects = ["3F000", "42P01", "42703", "42883", "42P17", "2200H"]

/** Whether the server refused a statement because something of ours is not there: it was dropped, or never made. */
export const saysObjectsMissing = (reason: { readonly _tag: string; readonly code?: string | undefined }): boolean =>
  reason._tag === "Refused" && reason.code !== undefined && missingObjects.includes(reason.code)

const refusals = byCode([
  [
    missingObjects,
    "the tables are missing or outdated",
    "run Ddl.sql on this database, and if that changes nothing, look at the triggers that others put on the table"
  ],
  [
    ["42501"],
    "the role, or the owner of the functions, lacks a privilege",
    "run Ddl.grants(role) on this database, and if a table or a function has changed its owner, first Ddl.sql as a superuser"
  ],
  [["40001", "40P01"], "gave up after repeated conflicts with other transactions", "try again"],
  [["55P03"], "another transaction still holds the row or the table", "end it, or try again"],
  [
    ["42P10", "21000"],
    "systemplane_entries has no primary key on namespace and key, or two rows have one name",
    "remove one of two such rows, then run Ddl.sql on this database"
  ],
  [
    ["23502"],
    "a column that others added to the table must have a value, and has no default",
    "give it a default, or drop its NOT NULL. If there is none, session_replication_role keeps the triggers from firing: unset it"
  ],
  [
    ["23503"],
    "a foreign key that others put on the table refuses the row",
    "add the row that it refers to, or drop the constraint"
  ],
  [
    ["23505", "23P01"],
    "a unique or exclusion constraint that others put on the table refuses the row",
    "write another value, or drop the constraint"
  ],
  [
    ["23514"],
    "a CHECK constraint that others put on the table refuses the value",
    "write another value, or drop the constraint"
  ],
  [["P0001"], "a trigger or a function that others made refuses it", "the server's log has its words"],
  [
    ["42P16"],
    "the table is defined in a way that Ddl.sql cannot change",
    "bring it into the form that Ddl.sql makes, by hand"
  ],
  [
    ["55000"],
    "a constraint or an object of the database is not in the state that the statement needs",
    "if namespace and key have a deferrable key, run Ddl.sql on this database, else look at the server's log"
  ],
  [
    ["2BP01", "0A000"],
    "another object of the database, as a view or a rule, stands in the way",
    "the server's log names it: drop it, run Ddl.sql, and make it again"
  ],
  [
    ["25006"],
    "the server is read-only",
    "give the address of the primary, wait until the fail-over is over, or unset default_transaction_read_only"
  ],
  [
    ["22P05", "22021"],
    "the encoding of the database cannot hold a character of the text",
    "use a database in UTF8, or plain letters"
  ],
  [["53100", "53200"], "the server is out of disk space or memory", "free some, then try again"],
  [
    ["53400"],
    "the statement needs more temporary files than the role may have",
    "raise its temp_file_limit, or work_mem"
  ],
  [["53300"], "the server has no connection left", "close other sessions, or raise max_connections"],
  [["57014"], "the statement was cancelled", "raise statement_timeout, or try again"]
])

/** Why the server refused a statement. */
export const ofRefusal = (code: string | undefined): string =>
  sentence(
    refusals.get(code) ?? [
      "the server refused the statement",
      code === undefined ? undefined : "the server's log says why"
    ],
    code
  )
