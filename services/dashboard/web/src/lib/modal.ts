/**
 * Opens a dialog as a modal for as long as it is mounted: the browser keeps the focus inside and the rest inert.
 * Removed from the page it could not give the focus back by itself, so that is done here.
 */
export function modal(dialog: HTMLDialogElement): () => void {
  const opener = document.activeElement;
  dialog.showModal();
  return () => {
    dialog.close();
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
  };
}
