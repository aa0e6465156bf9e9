// Key pictures in the place of a video: the one nearest in time is shown.

export class PictureScreen {
  video = null;
  #image;
  #pictures;

  // `pictures`: [{ t_s, address }] in the order of time; may be empty.
  constructor(image, pictures) {
    this.#image = image;
    this.#pictures = pictures;
  }

  get isEmpty() {
    return this.#pictures.length === 0;
  }

  // Show the picture nearest to `t_s`; the time that it belongs to.
  show(t_s) {
    if (this.isEmpty) return t_s;
    const away = (picture) => Math.abs(picture.t_s - t_s);
    const nearest = this.#pictures.reduce((best, picture) => (away(picture) < away(best) ? picture : best));
    if (this.#image.src !== nearest.address) this.#image.src = nearest.address;
    return nearest.t_s;
  }
}
