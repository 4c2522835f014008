"""From a model file and a subject to maps: prediction, uncertainty, saliency."""
