export const isDataUrl = (url: string | null): url is string => url?.startsWith('data:') ?? false

/** By hand: a page's security policy may forbid to fetch one. */
export function bytesOfDataUrl(url: string): Uint8Array<ArrayBuffer> {
  const bytes = bytesOfBase64(url.slice(url.indexOf(',') + 1))
  if (bytes === undefined) throw new TypeError('The data: URL is not base64')
  return bytes
}

/** Undefined for what is no base64. */
export function bytesOfBase64(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    const text = atob(base64)
    const bytes = new Uint8Array(text.length)
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
    return bytes
  } catch {
    return undefined
  }
}

/** Of so many bytes at once, since each becomes an argument. A multiple of 3, so that pieces join. */
const PIECE_BYTES = 3 * 4096

export function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += PIECE_BYTES) {
    text += btoa(String.fromCharCode(...bytes.subarray(i, i + PIECE_BYTES)))
  }
  return text
}
