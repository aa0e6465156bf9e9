"""Camera path of a clip: flow, alignment and bundle adjustment on predicted depth; a compass."""
