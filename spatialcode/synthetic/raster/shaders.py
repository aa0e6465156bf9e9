"""The rasteriser's programs in GLSL 3.30.

Rows of a framebuffer are rows of a picture: the projection does not turn y round. Depth is the
z-coordinate in the camera frame. Source of the tone of lighting: none; of ambient occlusion:
Mittring, "Finding next gen: CryEngine 2", SIGGRAPH 2007 (samples in screen space), with cosine
weights.
"""

from __future__ import annotations

#: Lights of a room at most; the shadow atlas has a tile for each.
NUM_LIGHTS = 12
#: Texels of an item's row: three of its pose, one of tint and instance.
ITEM_TEXELS = 4
SURFACE_TEXELS = 2

PLAIN, OUTSIDE, MIRROR = 0, 1, 2

_TABLES = """#version 330
uniform sampler2D items; uniform sampler2D surfaces;
uniform mat4 clip_world; uniform mat4 camera_world; uniform vec4 plane;
in vec3 p; in vec3 n; in vec2 uv; in vec2 row;
vec4 item(int k) { return texelFetch(items, ivec2(k, int(row.x)), 0); }
vec3 to_world(vec3 x) {
  vec4 h = vec4(x, 1); return vec3(dot(item(0), h), dot(item(1), h), dot(item(2), h));
}
"""

GEOMETRY_VERTEX = (
    _TABLES
    + """
out vec3 normal; out vec3 world; out vec2 at; out float depth; flat out vec4 color;
flat out vec4 look; flat out float instance;
void main() {
  world = to_world(p);
  normal = vec3(dot(item(0).xyz, n), dot(item(1).xyz, n), dot(item(2).xyz, n));
  vec4 tint = item(3); instance = tint.w; at = uv;
  color = texelFetch(surfaces, ivec2(0, int(row.y)), 0) * vec4(tint.rgb, 1);
  look = texelFetch(surfaces, ivec2(1, int(row.y)), 0);
  depth = (camera_world * vec4(world, 1)).z;
  gl_Position = clip_world * vec4(world, 1);
  gl_ClipDistance[0] = dot(plane, vec4(world, 1));
}"""
)

_SAMPLED = """
uniform sampler2DArray textures;
in vec3 normal; in vec3 world; in vec2 at; in float depth; flat in vec4 color;
flat in vec4 look; flat in float instance;
vec4 shown() {
  vec4 c = color;
  if (look.x >= 0.0) c *= texture(textures, vec3(at.x, 1.0 - at.y, look.x));
  return c;
}
"""

TRUTH_FRAGMENT = (
    "#version 330\n"
    + _SAMPLED
    + """
layout(location = 0) out vec2 truth;
void main() { if (look.x >= 0.0 && shown().a < 0.5 * color.a) discard;
  truth = vec2(depth, instance); }"""
)

MASK_FRAGMENT = (
    "#version 330\n"
    + _SAMPLED
    + """
layout(location = 0) out float mask;
void main() { if (look.x >= 0.0 && shown().a < 0.5 * color.a) discard; mask = 1.0; }"""
)

SURFACE_FRAGMENT = (
    "#version 330\n"
    + _SAMPLED
    + """
uniform vec3 eye; uniform float mirror;
layout(location = 0) out vec4 albedo; layout(location = 1) out vec4 facing;
layout(location = 2) out vec2 place;
void main() {
  vec4 c = shown();
  if (look.x >= 0.0 && c.a < 0.5 * color.a) discard;
  vec3 m = normalize(normal);
  if (dot(m, eye - world) < 0.0) m = -m;
  albedo = vec4(c.rgb, look.y); facing = vec4(m * 0.5 + 0.5, look.z);
  place = vec2(depth, look.w > 1.5 && abs(instance - mirror) > 0.5 ? 0.0 : look.w);
}"""
)

GLASS_FRAGMENT = (
    "#version 330\n"
    + _SAMPLED
    + """
uniform vec3 eye; uniform vec3 ambient_up;
layout(location = 0) out vec4 light;
void main() {
  vec4 c = shown();
  vec3 m = normalize(normal);
  float slant = 1.0 - abs(dot(m, normalize(eye - world)));
  vec3 sheen = ambient_up * (0.25 + 0.75 * pow(slant, 3.0));
  light = vec4(mix(pow(c.rgb, vec3(2.2)) * ambient_up, sheen, 0.6),
               clamp(c.a * 0.5 + 0.3 * pow(slant, 3.0), 0.04, 0.9));
}"""
)

SHADOW_VERTEX = _TABLES + "void main() { gl_Position = clip_world * vec4(to_world(p), 1); }"
SHADOW_FRAGMENT = "#version 330\nvoid main() {}"

SCREEN_VERTEX = """#version 330
out vec2 q;
void main() {
  vec2 p = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2); q = p;
  gl_Position = vec4(p * 2.0 - 1.0, 0, 1);
}"""

LIGHT_FRAGMENT = f"""#version 330
#define LIGHTS {NUM_LIGHTS}
uniform sampler2D albedo, facing, place, outside, mirrored;
uniform sampler2DShadow shadows;
uniform mat4 clip_light[LIGHTS]; uniform vec4 position[LIGHTS]; uniform vec4 direction[LIGHTS];
uniform vec4 radiance[LIGHTS]; uniform vec4 tile[LIGHTS]; uniform int num_lights;
uniform mat4 world_camera; uniform vec2 ray_scale, ray_shift;
uniform vec3 ambient_up, ambient_down; uniform float outside_gain; uniform int num_samples;
in vec2 q; layout(location = 0) out vec4 light;
vec3 seen_at(vec2 s) {{
  float z = texture(place, s).x; return vec3((s * ray_scale + ray_shift) * z, z);
}}
float turn() {{
  return 6.2832 * fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
}}
float openness(vec3 at, vec3 m) {{
  if (num_samples == 0) return 1.0;
  float sum = 0.0, first = turn(), reach = 0.45;
  for (int i = 0; i < num_samples; i++) {{
    float a = first + 2.39996 * float(i);
    float r = reach * sqrt((float(i) + 0.5) / float(num_samples)) / max(at.z, 0.4);
    vec3 d = seen_at(q + vec2(cos(a), sin(a)) * r / ray_scale) - at;
    float far = length(d) + 1e-4;
    sum += max(0.0, dot(d / far, m) - 0.1) * smoothstep(2.0 * reach, reach, far);
  }}
  return clamp(1.0 - 1.9 * sum / float(num_samples), 0.1, 1.0);
}}
float reached(int i, vec3 w) {{
  vec4 s = clip_light[i] * vec4(w, 1);
  if (s.w < 0.02) return 1.0 - direction[i].w;
  vec3 t = s.xyz / s.w;
  if (abs(t.x) > 0.99 || abs(t.y) > 0.99) return tile[i].w < 0.0 ? 0.0 : 1.0;
  t = t * 0.5 + 0.5;
  return texture(shadows, vec3(tile[i].xy + t.xy * tile[i].z, t.z - 0.0008));
}}
void main() {{
  vec4 a = texture(albedo, q), f = texture(facing, q); vec2 g = texture(place, q).xy;
  vec3 at = seen_at(q), w = (world_camera * vec4(at, 1)).xyz, eye = world_camera[3].xyz;
  vec3 m = normalize(f.xyz * 2.0 - 1.0), view = normalize(eye - w);
  vec3 base = pow(a.rgb, vec3(2.2));
  if (g.y > 1.5) {{ light = vec4(texture(mirrored, q).rgb * 0.92, 1); return; }}
  if (g.y > 0.5 || g.x <= 0.0) {{
    vec3 d = -view;
    vec2 s = vec2(atan(d.x, d.y) / 6.2832, 0.5 - asin(clamp(d.z, -1.0, 1.0)) / 3.1416);
    light = vec4(pow(texture(outside, s).rgb, vec3(2.2)) * outside_gain, 1); return;
  }}
  float open = openness(at, transpose(mat3(world_camera)) * m);
  vec3 c = base * open * mix(ambient_down, ambient_up, m.z * 0.5 + 0.5);
  vec3 lifted = w + m * 0.02;
  for (int i = 0; i < num_lights; i++) {{
    vec3 to = position[i].xyz - w; float d2 = dot(to, to); to *= inversesqrt(d2);
    float k = dot(m, to), e = mix(1.0, max(dot(direction[i].xyz, -to), 0.0), direction[i].w);
    if (k <= 0.0 || e <= 0.0) continue;
    vec3 h = normalize(to + view);
    float shine = f.w * 0.5 * pow(max(dot(m, h), 0.0), 48.0);
    c += radiance[i].rgb * reached(i, lifted) * (base + shine) * k * e
         * mix(1.0, open, 0.5) / (d2 + radiance[i].w);
  }}
  light = vec4(c + base * a.a * 6.0, 1);
}}"""

SHRINK_FRAGMENT = """#version 330
uniform sampler2D fine; uniform int factor; in vec2 q; layout(location = 0) out vec4 light;
void main() {
  ivec2 first = ivec2(gl_FragCoord.xy) * factor; vec3 sum = vec3(0);
  for (int y = 0; y < factor; y++) for (int x = 0; x < factor; x++)
    sum += min(texelFetch(fine, first + ivec2(x, y), 0).rgb, vec3(24.0));
  light = vec4(sum / float(factor * factor), 1);
}"""
