import { TypeID, typeidUnboxed } from 'typeid-js'

/** Prefixes of the ids that callers see; the database keeps the bare uuid. */
export type IdPrefix = 'user' | 'key' | 'gen' | 'img' | 'req' | 'wh' | 'dlv' | 'msg'

/** A new bare UUIDv7. Ids of one process sort in the order they were made. */
export const newUuid = (): string => new TypeID('').toUUID()

/** A new request id. */
export const newRequestId = (): string => typeidUnboxed('req')

/** The TypeID of a stored uuid. */
export const idOf = (prefix: IdPrefix, uuid: string): string =>
  TypeID.fromUUID(prefix, uuid).toString()

/** The uuid inside a TypeID whose form a schema has already checked. */
export const uuidOf = (id: string): string => TypeID.fromString(id).toUUID()

/** The uuid inside a TypeID from outside, or undefined for anything that is not one. */
export function parseId(prefix: IdPrefix, id: string): string | undefined {
  try {
    return TypeID.fromString(id, prefix).toUUID()
  } catch {
    return undefined
  }
}
