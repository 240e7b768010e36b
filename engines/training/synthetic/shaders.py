"""The two shader programs: a shadow map, and the picture with premultiplied alpha."""

from __future__ import annotations

SHADOW_VERTEX = """
#version 330
in vec3 position;
in vec2 uv;
uniform mat4 clip_from_world;
out vec2 at;
void main() {
    at = uv;
    gl_Position = clip_from_world * vec4(position, 1.0);
}
"""

SHADOW_FRAGMENT = """
#version 330
in vec2 at;
uniform sampler2D picture;
uniform float least_alpha;
void main() {
    if (texture(picture, at).a < least_alpha) discard;
}
"""

VERTEX = """
#version 330
in vec3 position;
in vec3 normal;
in vec2 uv;
uniform mat4 clip_from_world;
uniform mat4 shadow_from_world;
uniform vec3 eye;
uniform float inflated;  // dm along the normal
uniform float nearer;    // dm towards the eye, for the depth test alone
out vec3 place;
out vec3 outward;
out vec2 at;
out vec4 shadowed;
void main() {
    place = position + inflated * normal;
    outward = normal;
    at = uv;
    shadowed = shadow_from_world * vec4(place, 1.0);
    // along the ray, so that the point stays where it is in the picture
    gl_Position = clip_from_world * vec4(place + nearer * normalize(eye - place), 1.0);
}
"""

FRAGMENT = """
#version 330
const int SKIN = 0, EYE = 1, HAIR = 2, MOUTH = 3, DECAL = 4, CLOTH = 5;
in vec3 place;
in vec3 outward;
in vec2 at;
in vec4 shadowed;
out vec4 painted;
uniform sampler2D picture;
uniform sampler2DShadow shadow_map;
uniform vec3 eye;
uniform vec3 light_direction[3];
uniform vec3 light_colour[3];
uniform vec3 sky;
uniform vec3 ground;
uniform float exposure;
uniform int material;
uniform vec3 tint;
uniform float gloss;
uniform float bump;
uniform float least_alpha;
uniform bool opaque;
uniform vec3 eyeballs[2];    // middles of both eyes
uniform float eyeball_radius;
uniform vec3 lips;           // where the mouth begins
uniform vec3 head_up;
uniform vec3 head_forward;

float lit_share() {
    vec3 c = shadowed.xyz / shadowed.w * 0.5 + 0.5;
    if (any(lessThan(c.xy, vec2(0.0))) || any(greaterThan(c.xy, vec2(1.0)))) return 1.0;
    float reach = 1.1 / float(textureSize(shadow_map, 0).x);
    float sum = 0.0;
    for (int i = 0; i < 4; i++) {
        vec2 side = vec2(i % 2, i / 2) * 2.0 - 1.0;
        sum += texture(shadow_map, vec3(c.xy + reach * side, c.z - 0.004));
    }
    return sum / 4.0;
}

// The texture's brightness as height (Mikkelsen, "Bump Mapping Unparametrized Surfaces", 2010).
vec3 bumped(vec3 n, vec3 colour) {
    float height = dot(colour, vec3(1.0 / 3.0));
    vec3 along_x = dFdx(place), along_y = dFdy(place);
    vec3 r1 = cross(along_y, n), r2 = cross(n, along_x);
    float area = dot(along_x, r1);
    vec3 slope = sign(area) * (dFdx(height) * r1 + dFdy(height) * r2);
    return normalize(abs(area) * n - bump * slope);
}

float ggx(float n_h, float roughness) {
    float a2 = roughness * roughness;
    float d = n_h * n_h * (a2 - 1.0) + 1.0;
    return a2 / (3.14159 * d * d);
}

vec3 diffuse(float n_l) {
    if (material == HAIR) return vec3(clamp(0.6 * n_l + 0.4, 0.0, 1.0));
    if (material != SKIN) return vec3(max(n_l, 0.0));
    vec3 wrap = vec3(0.35, 0.12, 0.06);  // light bleeds around an edge, red the furthest
    return clamp((n_l + wrap) / ((1.0 + wrap) * (1.0 + wrap)), 0.0, 1.0);
}

float specular(vec3 n, vec3 view, vec3 light) {
    vec3 halfway = normalize(light + view);
    float n_l = dot(n, light);
    if (material == HAIR) {  // strands run downwards (Kajiya and Kay, 1989)
        vec3 strand = normalize(cross(n, cross(vec3(0.0, 1.0, 0.0), n)) + 1e-4);
        float along = dot(strand, halfway);
        return 0.1 * pow(sqrt(max(0.0, 1.0 - along * along)), 60.0) * max(n_l + 0.3, 0.0);
    }
    float n_h = max(dot(n, halfway), 0.0);
    float fresnel = 0.03 + 0.97 * pow(1.0 - max(dot(view, halfway), 0.0), 5.0);
    float lobe = material == EYE ? 0.9 * ggx(n_h, 0.08)
                                 : 0.65 * ggx(n_h, 0.42) + 0.35 * ggx(n_h, 0.26);
    return lobe * fresnel * max(n_l, 0.0);
}

// Lids shade the eye, the upper one more.
float eye_openness() {
    bool first = distance(place, eyeballs[0]) < distance(place, eyeballs[1]);
    vec3 from_middle = place - eyeballs[first ? 0 : 1];
    float height = dot(from_middle, head_up) / eyeball_radius;
    float below_lid = 1.0 - 0.55 * smoothstep(0.05, 0.55, height);
    return 0.8 * below_lid * (1.0 - 0.2 * smoothstep(0.1, 0.6, -height));
}

// Less light the further behind the lips, whichever way the head is turned.
float mouth_openness() {
    float depth = clamp((dot(lips - place, head_forward) - 0.12) / 0.75, 0.0, 1.0);
    return 1.15 * (1.0 - 0.75 * depth) * (1.0 - 0.75 * depth);
}

// The same inside the cheeks and under the palate: skin that faces the middle of the mouth.
float cavity_openness(vec3 n) {
    vec3 inwards = lips - 0.45 * head_forward - place;
    float faces = smoothstep(0.0, 0.25, dot(n, normalize(inwards)));
    float inside = faces * (1.0 - smoothstep(0.6, 0.9, length(inwards)));
    return mix(1.0, min(mouth_openness(), 1.0), inside);
}

// Film-like shoulder (Narkowicz, "ACES Filmic Tone Mapping Curve", 2015), then sRGB's gamma.
vec3 developed(vec3 c) {
    c = (c * (2.51 * c + 0.03)) / (c * (2.43 * c + 0.59) + 0.14);
    return pow(clamp(c, 0.0, 1.0), vec3(1.0 / 2.2));
}

void main() {
    vec4 colour = texture(picture, at);
    if (colour.a < least_alpha) discard;
    vec3 view = normalize(eye - place);
    vec3 n = normalize(outward);
    if ((material == HAIR || material == CLOTH) && dot(n, view) < 0.0) n = -n;
    if (bump > 0.0) n = bumped(n, colour.rgb);

    vec3 ambient = mix(ground, sky, 0.5 + 0.5 * n.y);
    vec3 matt = ambient, shine = vec3(0.0);
    for (int i = 0; i < 3; i++) {
        vec3 incoming = light_colour[i] * (i == 0 ? lit_share() : 1.0);
        matt += incoming * diffuse(dot(n, light_direction[i]));
        shine += incoming * specular(n, view, light_direction[i]);
    }
    float grazing = pow(1.0 - max(dot(n, view), 0.0), 4.0);
    shine *= gloss;
    if (material == SKIN) shine += ambient * grazing * 0.12 * gloss;
    if (material == EYE) shine += ambient * (0.03 + 0.3 * grazing);
    vec3 light = pow(colour.rgb, vec3(2.2)) * tint * matt + shine;
    if (material == EYE) light *= eye_openness();
    if (material == MOUTH) light *= mouth_openness();
    if (material == SKIN) light *= cavity_openness(n);
    float alpha = opaque ? 1.0 : colour.a;
    painted = vec4(developed(exposure * light) * alpha, alpha);
}
"""
