import sharp from 'sharp'
import type { Sharp } from 'sharp'

export type PictureStyle = 'gradient' | 'solid' | 'noise'
export type PictureType = 'image/png' | 'image/jpeg'

export interface PictureRequest {
  mimeType: PictureType
  width: number
  height: number
  style: PictureStyle
}

const CORNERS = Buffer.from([255, 220, 60, 250, 160, 40, 60, 120, 220, 20, 40, 90])
const BANANA_YELLOW = { r: 245, g: 211, b: 60 }

const cache = new Map<string, Promise<string>>()

/** Renders a picture once per process and gives its base64. */
export function pictureBase64(request: PictureRequest): Promise<string> {
  const key = Object.values(request).join(' ')
  const cached = cache.get(key)
  if (cached) return cached
  const rendered = render(request).then((bytes) => bytes.toString('base64'))
  cache.set(key, rendered)
  return rendered
}

async function render(request: PictureRequest): Promise<Buffer> {
  const image = canvas(request)
  if (request.mimeType === 'image/png') return image.png({ compressionLevel: 1 }).toBuffer()
  return withProvenance(await image.jpeg({ quality: 85 }).toBuffer())
}

function canvas({ style, width, height }: PictureRequest): Sharp {
  if (style === 'gradient') {
    return sharp(CORNERS, { raw: { width: 2, height: 2, channels: 3 } }).resize(width, height, {
      fit: 'fill',
      kernel: 'linear',
    })
  }
  const noise = { type: 'gaussian' as const, mean: 128, sigma: 40 }
  return sharp({
    create: {
      width,
      height,
      channels: 3,
      background: BANANA_YELLOW,
      ...(style === 'noise' && { noise }),
    },
  })
}

/** Google's JPEGs carry a JUMBF (C2PA) block in APP11, right after the JFIF header. */
function withProvenance(jpeg: Buffer): Buffer {
  const payload = Buffer.from('JP\0\x01\0\0\0\x01\0\0\0\x20jumbemulated content credentials')
  const marker = Buffer.from([0xff, 0xeb, 0, payload.length + 2])
  const jfifEnd = 4 + jpeg.readUInt16BE(4)
  return Buffer.concat([jpeg.subarray(0, jfifEnd), marker, payload, jpeg.subarray(jfifEnd)])
}
