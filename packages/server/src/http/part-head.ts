/** Name of the parts that are images. */
export const IMAGE_PART = 'image'

/** What the files of a form are called. */
export interface FileNames {
  /** Names that their parts may have. */
  readonly parts: readonly string[]
  /** The field that they make together. */
  readonly list: string
}

/** What a part of a form says of itself. */
export interface PartHead {
  readonly name: string
  /** Whether it is a file: some clients send a picture without a file name. */
  readonly isFile: boolean
  /** Whether it has an empty file name, as a file input that was left empty. */
  readonly isNameless: boolean
  /** In small letters, without parameters. */
  readonly type: string | undefined
}

const FORM_DATA = /\s*form-data(?=\s*;)/iy
const PARAMETER = /\s*;\s*([^\s=;"]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/y
const IMAGE_TYPE = /^(image\/.*|application\/octet-stream)$/

/** Reads the headers of a part; undefined where they do not say which field it is. */
export function readPartHead(
  headers: Readonly<Record<string, readonly string[] | undefined>>,
  fileParts: readonly string[] = [IMAGE_PART],
): PartHead | undefined {
  const [disposition, ...more] = headers['content-disposition'] ?? []
  if (disposition === undefined || more.length > 0) return undefined
  const parameters = parametersOf(disposition)
  const name = parameters?.get('name')
  if (parameters === undefined || name === undefined || name === '') return undefined
  const filename = parameters.get('filename') ?? parameters.get('filename*')
  const type = headers['content-type']?.[0]?.split(';', 1)[0]?.trim().toLowerCase()
  const isImage = fileParts.includes(name) && type !== undefined && IMAGE_TYPE.test(type)
  // A client that says what type a field has often says a file name too.
  const isFile = isImage || (filename !== undefined && type !== 'application/json')
  return { name, type, isFile, isNameless: filename === '' }
}

/** The parameters of `form-data`; undefined for what else stands there, or for one given twice. */
function parametersOf(disposition: string): Map<string, string> | undefined {
  FORM_DATA.lastIndex = 0
  if (!FORM_DATA.test(disposition)) return undefined
  const parameters = new Map<string, string>()
  PARAMETER.lastIndex = FORM_DATA.lastIndex
  let end = FORM_DATA.lastIndex
  for (let found = PARAMETER.exec(disposition); found; found = PARAMETER.exec(disposition)) {
    const [, key = '', quoted, bare = ''] = found
    if (parameters.has(key.toLowerCase())) return undefined
    parameters.set(key.toLowerCase(), decode(quoted?.replaceAll(/\\(.)/g, '$1') ?? bare))
    end = PARAMETER.lastIndex
  }
  return disposition.slice(end).trim() === '' ? parameters : undefined
}

/** Headers come as one character a byte. */
const decode = (text: string): string => Buffer.from(text, 'latin1').toString()
