import { NanoBanana, NanoBananaError } from '@nanobanana/sdk'

// Reads NANOBANANA_API_KEY and NANOBANANA_BASE_URL. Both stay on the server: a browser that had the
// key could spend your money.
const client = new NanoBanana()

/** POST /api/pictures with {"prompt": "…"}: answers the picture itself. */
export async function POST(request: Request): Promise<Response> {
  const { prompt } = (await request.json()) as { prompt: string }
  try {
    // Whoever leaves the page cancels the picture.
    const { images } = await client.generate({ prompt }, { signal: request.signal })
    const [image] = images
    if (image === undefined) return new Response(null, { status: 204 })
    return new Response(await image.stream(), { headers: { 'content-type': image.mime_type } })
  } catch (error) {
    if (!(error instanceof NanoBananaError)) throw error
    // What is wrong with the prompt is the visitor's to know; the rest is between you and the service.
    if (error.status === 422) return Response.json({ message: error.message }, { status: 422 })
    console.error(error.code, error.message, error.requestId)
    return Response.json({ message: 'No picture can be made right now.' }, { status: 503 })
  }
}
