import { entryStoreContract } from "./entryStoreContract.ts"
import { inMemory } from "./inMemory.ts"
import { onPostgres } from "./onPostgres.ts"

entryStoreContract(inMemory)
entryStoreContract(onPostgres)
