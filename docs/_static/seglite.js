// A click on a picture shows it in full size.
document.addEventListener("DOMContentLoaded", () => {
  for (const picture of document.querySelectorAll(".bd-article img")) {
    const link = document.createElement("a");
    link.href = picture.src;
    link.title = "Show in full size";
    picture.replaceWith(link);
    link.append(picture);
  }
});
